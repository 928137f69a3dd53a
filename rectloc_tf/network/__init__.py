"""What heads stand on: backbones and layers."""
