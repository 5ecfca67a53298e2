"""Which networks of other libraries the service takes: 46 of torchvision and timm, and 8 of Hugging Face."""
