"""What may be found in mapping rows to entities."""

from crawler.telemetry.findings.kind import FindingKind

URN_TAKEN = FindingKind(
    "urn_taken",
    "Two model versions, or one and a logged model, come to one URN, so the second was left out. Choose another "
    "model_name_separator.",
    "failure",
    "Set model_name_separator to text that no model's name contains.",
    found_again=True,
)

DATASET_SCHEMA_CUT = FindingKind(
    "dataset_schema_cut",
    "A dataset's schema is longer than DataHub's search takes, so its text was cut.",
    "warning",
    "Nothing: only the text of a schema that is no list of columns is cut.",
)

DATASET_COLUMNS_LEFT_OUT = FindingKind(
    "dataset_columns",
    "A dataset has columns without a name, or several of one name, of which DataHub takes only the first.",
    "warning",
    "Give the columns names of their own before they are logged.",
)

DATASETS_DIFFER = FindingKind(
    "datasets_differ",
    "Different datasets have one name, so they are one dataset in DataHub: it has the schema of the newest run, and no "
    "upstream unless it is that of all. Each run's input edge says which one it used.",
    "warning",
    "Name datasets when they are logged: `mlflow.data.from_pandas(df, name=…)`. Autologging names them all `dataset`.",
)

URL_CREDENTIALS = FindingKind(
    "url_credentials",
    "User names and passwords within URLs of MLflow's data were left out. keep_url_credentials: true would write them.",
    "warning",
    "Remove them in MLflow too, and change those that are still valid: whoever reads MLflow has them.",
)

PARENTS_UNKNOWN = FindingKind(
    "parents_unknown",
    "Whether the parents of some runs are crawled could not be told, so the runs name none. Run it again.",
    "failure",
    "Crawl again when MLflow answers.",
)

DATASET_PLATFORM_UNKNOWN = FindingKind(
    "dataset_platform_unknown",
    "No DataHub platform is known for a dataset's source type, so it was not materialized. "
    "Name one in source_mapping_to_platform.",
    "failure",
    "Add the source type to source_mapping_to_platform in the recipe.",
)

URN_INVALID = FindingKind(
    "urn",
    "DataHub takes no such URN, so the entity was not sent. Rename it in MLflow.",
    "failure",
    "Rename the model, dataset or experiment in MLflow; the sample says which rule its URN breaks.",
)

ASPECT_TOO_LARGE = FindingKind(
    "aspect_size",
    "An aspect is larger than DataHub's Kafka takes, so it was not sent.",
    "failure",
    "Shorten what the sample names (params, tags, description) in MLflow.",
)

ASPECT_INVALID = FindingKind(
    "invalid",
    "acryl-datahub refuses a proposal (--validate), so it was not sent. Please report this.",
    "failure",
    "Please report it with the sample.",
)

TRANSFORMER_FAILED = FindingKind(
    "transformer",
    "A transformer failed at these entities, so they were not sent.",
    "failure",
    "The sample says which one and why. Dead letters have the entities as they were before any transformer: mend the "
    "cause and crawl again rather than replay them.",
)

TRANSFORMER_FAILED_AT_END = FindingKind(
    "transformer_end",
    "A transformer failed at the end, so what it would have added there was not sent.",
    "failure",
    "The sample says which one and why. Mend that, then crawl again.",
)
