FROM python:3.12-slim
RUN pip install --no-cache-dir uv && useradd --create-home exosphere && install --directory --owner exosphere /artifacts
WORKDIR /app
COPY pyproject.toml ./
ENV UV_PROJECT_ENVIRONMENT=/opt/venv PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1
# The libraries, which change seldom; then the sources, and what installs the `exosphere` command.
RUN uv sync --no-dev --no-install-project --no-cache
COPY . .
RUN uv sync --no-dev --no-cache
USER exosphere
ENV HOST=0.0.0.0 PORT=8001
EXPOSE 8001
CMD ["sh", "-c", "exec gunicorn --bind $HOST:$PORT 'api.app:create_app()'"]
