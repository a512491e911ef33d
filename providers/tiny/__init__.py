"""The bundled model: a small real Llama, weak on purpose, and the server that serves it."""

MODEL_ID = "orch-tiny"
