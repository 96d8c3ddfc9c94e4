"""What the pages show, beside one `make run`. A package, so that it ends with these tests and not with the last of all."""
