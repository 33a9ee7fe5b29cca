"""`datahub ingest run -c FILE` as users type it, without its question to the internet for newer versions.

For the Python of the official connector's environment. The question would add up to three seconds at the end, or fail
at once, depending on the machine's network: nothing that belongs in a comparison.
"""

from datahub.entrypoints import main
from datahub.upgrade import upgrade

upgrade.check_upgrade_post = lambda *_, **__: None
main()
