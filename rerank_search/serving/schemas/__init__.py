"""The JSON bodies of requests and answers. An answer leaves out the fields that are None."""
