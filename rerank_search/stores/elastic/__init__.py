"""Elasticsearch and OpenSearch, by their REST APIs."""
