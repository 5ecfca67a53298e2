"""Costs of a pruned network, estimated layer by layer, and the sparsity at which one of them reaches a target."""
