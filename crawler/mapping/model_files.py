"""MLmodel → properties of a model."""

from crawler.mlflow.model_file import ModelFile

_SIGNATURE = "signature."
"""DataHub's page of a model shows `signature.inputs`, `.outputs` and `.parameters` as its Model Signature."""
_OTHERS = "mlmodel."


def model_file_properties(file: ModelFile) -> dict[str, str]:
    """Return the custom properties that a model has of its MLmodel; MLflow's signatures are in DataHub's own form."""
    properties = {
        f"{_OTHERS}flavors": ", ".join(file.flavors),
        f"{_OTHERS}python_version": file.python_version,
        f"{_OTHERS}mlflow_version": file.mlflow_version,
        f"{_OTHERS}model_size_bytes": "" if file.size_bytes is None else str(file.size_bytes),
    }
    if (signature := file.signature) is not None:
        properties |= {
            f"{_SIGNATURE}inputs": signature.inputs or "",
            f"{_SIGNATURE}outputs": signature.outputs or "",
            f"{_SIGNATURE}parameters": signature.params or "",
        }
    return {key: value for key, value in properties.items() if value}
