"""Image-text sets: what variants are calibrated on and evaluated with.

loading ─┬─ captions        captions.jsonl: image, split, label, captions
         ├─ rsicd           the original dataset_rsicd.json
         ├─ hugging_face    metadata.jsonl or metadata.csv, or folders train/ and test/
         └─ image_folder    anything else: sub-folders are labels
generated                   scenes drawn by rsq, where there is nothing
sampling, augmentation      a set made from another, its digest made from the other's
unlikeness                  whether two sets look alike to a model
"""
