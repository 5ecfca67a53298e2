"""The compact form of a checkpoint: coded masks and live values in a safetensors file (docs/formats.md)."""
