"""The demo model and the generated overhead scenes that it is trained on.

Two parts: drawing (`scenes` and the modules it stands on; numpy and Pillow only), and training
(`tokenizer`, `train`; torch and transformers). The folder `model` holds the trained checkpoint.
"""
