"""What every call over HTTP needs: the address, the key, and further attempts."""
