"""Text to vectors: the embedder's protocol, MiniLM in ONNX Runtime, and the micro-batcher in front of it."""
