"""The authenticating proxy and the engine behind it. Nothing here imports torch or vLLM."""
