//! Runs a network on the processor: plans, kernels, the margin head and the optimizer.
