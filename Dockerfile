# Written, not tested: docker build -t rerank-search . && docker compose up
FROM python:3.11-slim
RUN useradd --create-home --uid 1000 app
WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY rerank_search rerank_search
COPY haystack_integrations haystack_integrations
# torch's own index has builds for CPUs alone, which are a tenth of the size; PyPI's are for CUDA.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN pip install --no-cache-dir --extra-index-url "$TORCH_INDEX" \
    -c constraints.txt '.[offline,openvino]'
USER app
VOLUME /home/app/data
WORKDIR /home/app/data
ENV RERANK_SEARCH_OFFLINE=1
EXPOSE 8000
HEALTHCHECK --start-period=60s CMD \
    python -c "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health/ready')"
ENTRYPOINT ["rerank-search"]
CMD ["serve", "--host", "0.0.0.0", "--keys", "keys.json"]
