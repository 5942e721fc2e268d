"""What you fit."""
