"""What computes: devices, and the machine."""
