"""The towers as modules with one input and one output, in the form that exports best.

Each computes exactly what transformers' own model does; where the form differs, it is to spare the
exported graph work whose result is known or never used.
"""

from __future__ import annotations

from typing import Any, cast

from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention


class SiglipVision(nn.Module):
    """A transformers SiglipVisionModel with attention pooling: float32 [n, 3, h, w] -> [n, dim]."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.embeddings = model.embeddings
        self.encoder = model.encoder
        self.post_layernorm = model.post_layernorm
        self.head = AttentionPooling(model.head)

    def forward(self, pixel_values: Tensor) -> Tensor:
        hidden = self.encoder(inputs_embeds=self.embeddings(pixel_values)).last_hidden_state
        return cast(Tensor, self.head(self.post_layernorm(hidden)))


class AttentionPooling(nn.Module):
    """SigLIP's pooling head: float32 [n, tokens, dim] -> [n, dim].

    nn.MultiheadAttention keeps query, key and value weights in one tensor and exports as slices and
    transposes of it, which no quantizer recognises as linear layers. Here they are three views.
    """

    def __init__(self, head: Any) -> None:
        super().__init__()
        attention = head.attention
        self.heads = int(attention.num_heads)
        self.probe = head.probe  # [1, 1, dim]
        weights = attention.in_proj_weight.detach().chunk(3)
        biases = attention.in_proj_bias.detach().chunk(3)
        self.query, self.key, self.value = map(_Linear, weights, biases)
        self.out_proj = attention.out_proj
        self.layernorm = head.layernorm
        self.mlp = head.mlp

    def forward(self, hidden: Tensor) -> Tensor:
        query = _split(self.query(self.probe), self.heads).expand(hidden.shape[0], -1, -1, -1)
        key = _split(self.key(hidden), self.heads)
        value = _split(self.value(hidden), self.heads)
        pooled = scaled_dot_product_attention(query, key, value)  # [n, heads, 1, dim / heads]
        pooled = self.out_proj(pooled.transpose(1, 2).flatten(1))
        return cast(Tensor, pooled + self.mlp(self.layernorm(pooled)))


class SiglipText(nn.Module):
    """A transformers SiglipTextModel: int64 [n, max_length] -> float32 [n, dim].

    It attends to every position, padding included, so there is no mask; and it reads out the last
    position only, so the last layer computes queries and MLP for that position alone.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.embeddings = model.embeddings
        self.encoder = model.encoder
        self.final_layer_norm = model.final_layer_norm
        self.head = model.head

    def forward(self, input_ids: Tensor) -> Tensor:
        hidden = self.embeddings(input_ids=input_ids)
        layers = cast(Any, self.encoder).layers
        for layer in layers[:-1]:
            hidden = layer(hidden, None)
        pooled = _run_last_position(layers[-1], hidden)
        return cast(Tensor, self.head(self.final_layer_norm(pooled)))


class ClipVision(nn.Module):
    """A transformers CLIPVisionModel with its projection: float32 [n, 3, h, w] -> [n, dim]."""

    def __init__(self, model: Any, projection: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.projection = projection

    def forward(self, pixel_values: Tensor) -> Tensor:
        pooled = self.model(pixel_values=pixel_values).pooler_output
        return cast(Tensor, self.projection(pooled))


class ClipText(nn.Module):
    """A transformers CLIPTextModel with its projection: int64 [n, max_length] -> [n, dim]."""

    def __init__(self, model: Any, projection: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.projection = projection

    def forward(self, input_ids: Tensor) -> Tensor:
        pooled = self.model(input_ids=input_ids).pooler_output
        return cast(Tensor, self.projection(pooled))


def _run_last_position(layer: Any, hidden: Tensor) -> Tensor:
    """The last row of a SigLIP encoder layer: float32 [n, tokens, dim] -> [n, dim]."""
    attention = layer.self_attn
    normed = layer.layer_norm1(hidden)
    query = _split(attention.q_proj(normed[:, -1:]), attention.num_heads)
    key = _split(attention.k_proj(normed), attention.num_heads)
    value = _split(attention.v_proj(normed), attention.num_heads)
    mixed = scaled_dot_product_attention(query, key, value, scale=attention.scale)
    pooled = hidden[:, -1] + attention.out_proj(mixed.transpose(1, 2).flatten(1))
    return cast(Tensor, pooled + layer.mlp(layer.layer_norm2(pooled)))


def _split(rows: Tensor, heads: int) -> Tensor:
    """float32 [n, tokens, dim] -> [n, heads, tokens, dim / heads]"""
    count, tokens, width = rows.shape
    return rows.reshape(count, tokens, heads, width // heads).transpose(1, 2)


class _Linear(nn.Module):
    """A linear layer over tensors that it does not own."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = nn.Parameter(bias, requires_grad=False)

    def forward(self, rows: Tensor) -> Tensor:
        return linear(rows, self.weight, self.bias)
