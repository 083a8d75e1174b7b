"""What a model keeps beside parameters and buffers, and may change in a forward pass."""
