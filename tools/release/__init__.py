"""What a release consists of, built so that anyone can build the same bytes again: `make release VERSION=0.2.0`."""
