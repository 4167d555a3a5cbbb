"""What comes after the training: merging on the CPU, and serving with vLLM."""

from evqa.architectures import Architecture
from evqa.memory.terms import FP32_BYTES, GIB

SERVED_WIDTH = 2  # bf16
MERGE_PROCESS_GIB = 0.25  # Python, PyTorch and safetensors
ENGINE_GIB = 0.6  # CUDA context and graphs, sampler, activations of a step
SERVED_REQUESTS = 8  # whose keys and values are cached at once


def merge_terms(shape: Architecture) -> dict[str, float]:
    """Return the CPU memory that merging takes: one tensor at a time, whatever the model's size.

    The largest tensor is there as it is stored, and in fp32.
    """
    projections = [rows * cols for rows, cols in shape.linear_shapes().values()]
    largest = max(shape.num_embedding_parameters, *projections)
    return {
        "process": MERGE_PROCESS_GIB * GIB,
        "largest_tensor": float(largest * (SERVED_WIDTH + FP32_BYTES)),
    }


def kv_cache_bytes(shape: Architecture, num_tokens: int) -> float:
    """Return the keys and values of so many tokens, in bf16."""
    key = shape.num_key_value_heads * shape.head_dim
    return float(2 * shape.num_layers * key * SERVED_WIDTH * num_tokens)


def serving_terms(shape: Architecture, max_length_tokens: int) -> dict[str, float]:
    """Return the memory of the merged model in bf16 under vLLM, eight requests at full length."""
    return {
        "weights": float(shape.num_parameters * SERVED_WIDTH),
        "kv_cache": kv_cache_bytes(shape, SERVED_REQUESTS * max_length_tokens),
        "engine": ENGINE_GIB * GIB,
    }
