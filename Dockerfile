# optviz on one server: docker build -t optviz . && docker run --rm -p 8501:8501 optviz
# Several of them behind a load balancer: compose.yaml. What was tried of this file: docs/deploying.md.
FROM python:3.11-slim-bookworm

ENV PYTHONUNBUFFERED=1 \
    XDG_CACHE_HOME=/opt/cache
WORKDIR /opt/optviz

COPY requirements.txt deploy/constraints.txt ./
RUN pip install --no-cache-dir --requirement requirements.txt --constraint constraints.txt

COPY .streamlit .streamlit
COPY optviz optviz
COPY pages pages
COPY app.py ./
COPY deploy/healthy.py deploy/
# What pages open with is compiled here, once, rather than before the eyes of the first visitors of every replica.
RUN python -m compileall -q app.py optviz pages && python -m optviz.ui.warm

# The visitors' server owns nothing and can change nothing, what was compiled included.
RUN useradd --system --uid 10001 --no-create-home --home-dir /nonexistent optviz
USER optviz

EXPOSE 8501
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["python", "deploy/healthy.py"]
# Nonsense among the limits ends a server before it says that it is healthy.
CMD ["sh", "-c", "python -m optviz.limits && exec streamlit run app.py --server.headless true --server.address 0.0.0.0"]
