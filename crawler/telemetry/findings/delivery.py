"""What may be found in delivering to DataHub, and in files of proposals."""

from crawler.telemetry.findings.kind import FindingKind

REFUSED = FindingKind(
    "refused_{status}",
    "DataHub refuses proposals with status {status}.",
    "failure",
    "The sample has DataHub's words. Mend the cause (403: a privilege, 422: a value), then replay the dead letters.",
)

UNKNOWN_THERE = FindingKind(
    "unknown_{what}",
    "DataHub says that it does not know {what}, so all of it was left out, without asking again.",
    "failure",
    "Upgrade DataHub to a version that knows it, then replay the dead letters.",
)

NOT_TAKEN = FindingKind(
    "not_taken",
    "DataHub's answer does not list all that was sent, so what is missing there may not be stored. It may not know "
    "these aspects: its version and log tell more.",
    "failure",
    "DataHub's version may not know the aspect. Look at its log, then replay the dead letters.",
)

NO_MORE_THERE = FindingKind(
    "no_more_there",
    "DataHub does not have these any more as an earlier crawl delivered them, so they were sent again.",
    "warning",
    "Nothing: it was found since --verify-every asked for it. Somebody may have deleted, rolled back or changed them.",
)

NOT_STORED = FindingKind(
    "not_stored",
    "DataHub took these, but does not have them. The log of its GMS or MCE consumer tells why; mend that, then replay "
    "the dead letters.",
    "failure",
    "Look at the log of GMS or its MCE consumer, then replay the dead letters.",
)

UNCONFIRMED = FindingKind(
    "unconfirmed",
    "DataHub took these entities, but was not seen to have them in time. Its queue may be long, or stand still. "
    "`replay FILE --unconfirmed` looks for them again and sends only what is missing.",
    "warning",
    "Look whether DataHub's MCE consumer works. Then replay the file of the unconfirmed with --unconfirmed: what has "
    "arrived by then is not sent again. A longer --confirm-wait waits longer.",
)

UNVERIFIED_IN_MEMORY = FindingKind(
    "unverified_in_memory",
    "What waits for DataHub's queue cannot be kept on the disk: {problem}. So the crawl waits for the queue.",
    "warning",
    "Make room in the folder for temporary files, or name another one in the variable TMPDIR.",
    found_again=True,
)

NO_SYSTEM_METADATA = FindingKind(
    "no_system_metadata",
    "DataHub shows no system metadata of what it has, so an aspect that is there counts as delivered, even if an "
    "earlier crawl wrote it.",
    "warning",
    "Let /openapi/v3/entity answer `systemMetadata=true`: something before DataHub may drop it.",
    found_again=True,
)

NOT_ANSWERED = FindingKind(
    "not_answered",
    "It ended while requests with these proposals were under way: DataHub may have them. Run it again, or replay the "
    "dead letters; what arrives twice does no harm.",
    "failure",
    "Crawl again, or replay the dead letters.",
)

NOT_SENT = FindingKind(
    "not_sent",
    "It ended before these proposals were delivered. Run it again.",
    "failure",
    "Crawl again, or replay the dead letters where the summary names any. For a file none are kept.",
)

DEAD_LETTERS_UNWRITABLE = FindingKind(
    "dead_letters",
    "What was not delivered could not be kept in {path} either: {problem}. "
    "Make room there or give --dead-letters another path, then run it again.",
    "failure",
    "Make room or name another path, then crawl again.",
)

DEAD_LETTERS_NOWHERE = FindingKind(
    "dead_letters_nowhere",
    "What DataHub refuses could not be kept here. Give --dead-letters a path that can be written to.",
    "warning",
    "Give --dead-letters the path of a file in a folder that can be written to.",
)

LETTERS_ELSEWHERE = FindingKind(
    "letters_elsewhere",
    "The crawl that is resumed kept proposals in another file, {path}, which are counted here too. Replay both.",
    "warning",
    "Replay that file too. Crawl in the same folder, or with the same --dead-letters, to have one file.",
)

NO_TARGET = FindingKind(
    "no_target",
    "These dead letters do not say which DataHub they were kept for, so that was not checked. An older release wrote "
    "them.",
    "warning",
    "Make sure that they were for this DataHub.",
)

OLD_DATAHUB = FindingKind(
    "old_datahub",
    "DataHub {version} is older than 1.0 and cannot hold all that MLflow tells: left out are {aspects}.",
    "warning",
    "Upgrade DataHub to 1.0 or later to have these aspects too.",
    found_again=True,
)

UNVERIFIABLE_VERSION = FindingKind(
    "unconfirmed_by_server",
    "DataHub {version} is older than 1.0.1 and cannot be asked whether it has what it took: that rests on "
    "the status of its answers.",
    "warning",
    "Upgrade DataHub to 1.0.1 or later to have deliveries verified.",
    found_again=True,
)

UNVERIFIABLE_ANSWERS = FindingKind(
    "unconfirmed_by_server",
    "DataHub's answers do not list what it took, so that it has it rests on their status. --confirm stored "
    "reads everything back.",
    "warning",
    "Use --confirm stored to have everything read back.",
    found_again=True,
)

UNVERIFIABLE = FindingKind(
    "unconfirmed_by_server",
    "DataHub cannot be asked whether it has what it took, so that rests on the status of its answers. Let the token's "
    "user read entities, and /openapi/v3/entity be reached; --confirm none does without and says nothing.",
    "warning",
    "Give the token's user the privilege to read entities, or use --confirm none.",
    found_again=True,
)

NOT_ON_PAGE = FindingKind(
    "not_on_ingestion_page",
    "DataHub's Ingestion page does not show this crawl, as the recipe's reporting asks for.",
    "warning",
    "The sample has DataHub's words. The token's user needs the privilege Manage Metadata Ingestion.",
    found_again=True,
)

NOT_REPORTED = FindingKind(
    "not_reported",
    "A file of the recipe's reporting could not be written.",
    "warning",
    "The sample says why. Give its filename another path.",
    found_again=True,
)

UNREADABLE_PROPOSALS = FindingKind(
    "unreadable_proposals",
    "Parts of the file are no proposals that can be read, so they were not sent.",
    "failure",
    "The sample says where and why. Keep the file; mend the lines, then replay it again.",
)

OUT_OF_TIME = FindingKind(
    "max_duration",
    "It was ended by --max-duration before its end. Give it more time; a crawl with --state goes on where it was.",
    "failure",
    "Give --max-duration more time, or use --state.",
    found_again=True,
)
