"""The training loop and what it needs: state, checkpoints, devices, signals, progress."""
