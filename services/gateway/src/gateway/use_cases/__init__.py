"""What the gateway does for its transports: `Memlog` implements `gateway.service.MemoryService`."""

from gateway.use_cases.access import AccessRules
from gateway.use_cases.access_log import AccessLogReading
from gateway.use_cases.activity import Activities
from gateway.use_cases.apps import Apps
from gateway.use_cases.archive_policies import ArchivePolicies
from gateway.use_cases.auditing import Auditing
from gateway.use_cases.categories import Categories
from gateway.use_cases.changes import Changes
from gateway.use_cases.config import Configuring
from gateway.use_cases.connected import ConnectedClients
from gateway.use_cases.dead_letters import DeadLetterDesk
from gateway.use_cases.exporting import Exporting
from gateway.use_cases.health import Checking
from gateway.use_cases.importing import Importing
from gateway.use_cases.log_reading import LogReading
from gateway.use_cases.projections import Projections
from gateway.use_cases.reading import Reading
from gateway.use_cases.related import Related
from gateway.use_cases.sources import Sources
from gateway.use_cases.states import States
from gateway.use_cases.tokens import Tokens
from gateway.use_cases.verifying import Verifying
from gateway.use_cases.writing import Writing


class Memlog:
    """Writing, reading and health behind one name: each method is the part's own, no layer between."""

    def __init__(
        self,
        writing: Writing,
        states: States,
        categories: Categories,
        access: AccessRules,
        reading: Reading,
        changes: Changes,
        apps: Apps,
        activities: Activities,
        access_log: AccessLogReading,
        auditing: Auditing,
        related: Related,
        exporting: Exporting,
        importing: Importing,
        log: LogReading,
        desk: DeadLetterDesk,
        projections: Projections,
        verifying: Verifying,
        checking: Checking,
        configuring: Configuring,
        policies: ArchivePolicies,
        sources: Sources,
        tokens: Tokens,
        connected: ConnectedClients,
    ) -> None:
        self.add = writing.add
        self.added = writing.added
        self.revise = writing.revise
        self.delete = writing.delete
        self.delete_all = writing.delete_all
        self.set_state = states.set_state
        self.restore = states.restore
        self.categorize = categories.categorize
        self.define_category = categories.define_category
        self.remove_category = categories.remove_category
        self.categories = categories.categories
        self.access_rules = access.access_rules
        self.set_access_rule = access.set_access_rule
        self.remove_access_rule = access.remove_access_rule
        self.default_access = access.default_access
        self.change_default_access = access.change_default_access
        self.readable = access.readable
        self.search = reading.search
        self.list_for_app = reading.list_for_app
        self.get_for_app = reading.get_for_app
        self.history = reading.history
        self.page = reading.page
        self.differences = changes.differences
        self.timeline = changes.timeline
        self.reached = changes.reached
        self.get = reading.get
        self.apps = apps.apps
        self.app = apps.app
        self.app_memories = apps.app_memories
        self.app_accessed = apps.app_accessed
        self.set_app_active = apps.set_app_active
        self.stats = apps.stats
        self.activity = activities.activity
        self.access_log = access_log.access_log
        self.audit = auditing.audit
        self.read_memories = auditing.read_memories
        self.related = related.related
        self.export_backup = exporting.export_backup
        self.import_backup = importing.import_backup
        self.operation = reading.operation
        self.events = log.events
        self.newest_events = log.newest_events
        self.follow = log.follow
        self.dead_letters = desk.dead_letters
        self.dead_letter = desk.dead_letter
        self.redrive = desk.redrive
        self.redrive_all = desk.redrive_all
        self.drop_dead_letter = desk.drop_dead_letter
        self.projections = projections.projections
        self.projection = projections.projection
        self.change_projection = projections.change_projection
        self.verify = verifying.verify
        self.verification = verifying.verification
        self.anchor = verifying.anchor
        self.check_anchors = verifying.check_anchors
        self.health = checking.health
        self.configuration = configuring.configuration
        self.change_configuration = configuring.change_configuration
        self.reset_configuration = configuring.reset_configuration
        self.archive_policies = policies.archive_policies
        self.preview_archive_policy = policies.preview_archive_policy
        self.set_archive_policy = policies.set_archive_policy
        self.remove_archive_policy = policies.remove_archive_policy
        self.reprocess = sources.reprocess
        self.reprocessing = sources.reprocessing
        self.issue_token = tokens.issue_token
        self.tokens = tokens.tokens
        self.revoke_token = tokens.revoke_token
        self.connections = connected.connections
