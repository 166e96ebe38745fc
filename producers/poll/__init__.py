"""Pull sources: reviews of platforms that do not push, fetched on a schedule.

`description.py` what a source is (TOML), `auth.py` its credentials, `paging.py` the way from page to
page, `pages.py` what a body holds, `walk.py` page after page into intake, `poller.py` turns and their
failures. `connectors/` are descriptions that come with the program. How far each source was read,
and who reads it, is kept by shared/stream/polling.py.
"""
