-- Written by weft.migrations.freeze from the models' markers.

CREATE TABLE weft.app_instances (
	id UUID NOT NULL, 
	kind TEXT NOT NULL, 
	host TEXT NOT NULL, 
	version TEXT NOT NULL, 
	revision TEXT NOT NULL, 
	started_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL, 
	seen_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL, 
	CONSTRAINT app_instances_pkey PRIMARY KEY (id), 
	CONSTRAINT app_instances_kind_check CHECK (kind in ('api', 'worker'))
) with (fillfactor = 50);

CREATE TABLE weft.audit_logs (
	tenant_id UUID NOT NULL, 
	at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL, 
	id UUID NOT NULL, 
	action TEXT NOT NULL, 
	resource_type TEXT NOT NULL, 
	resource_id TEXT, 
	before JSONB, 
	after JSONB, 
	actor_id TEXT, 
	actor_kind TEXT, 
	actor_name TEXT, 
	ip TEXT, 
	user_agent TEXT, 
	correlation_id TEXT, 
	CONSTRAINT audit_logs_pkey PRIMARY KEY (tenant_id, at, id)
)
 PARTITION BY range (at);

CREATE INDEX audit_logs_actor_idx ON weft.audit_logs (tenant_id, actor_id, at);

CREATE INDEX audit_logs_correlation_idx ON weft.audit_logs (tenant_id, correlation_id);

CREATE INDEX audit_logs_resource_idx ON weft.audit_logs (tenant_id, resource_type, resource_id, at);

CREATE TABLE weft.backups (
	id TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	started_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	finished_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	bytes BIGINT NOT NULL, 
	places TEXT[] NOT NULL, 
	verified_at TIMESTAMP WITH TIME ZONE, 
	failure TEXT, 
	CONSTRAINT backups_pkey PRIMARY KEY (id)
);

CREATE TABLE weft.dispatch_dead (
	tenant_id UUID NOT NULL, 
	id UUID NOT NULL, 
	kind TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	created_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	execution_id UUID, 
	visit INTEGER DEFAULT 0 NOT NULL, 
	attempt INTEGER DEFAULT 0 NOT NULL, 
	detail JSONB, 
	claims INTEGER DEFAULT 0 NOT NULL, 
	lapses SMALLINT DEFAULT 0 NOT NULL, 
	last_error TEXT, 
	died_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
	CONSTRAINT dispatch_dead_pkey PRIMARY KEY (tenant_id, id)
);

CREATE INDEX dispatch_dead_died_at_idx ON weft.dispatch_dead (tenant_id, died_at, id);

CREATE INDEX dispatch_dead_execution_idx ON weft.dispatch_dead (tenant_id, execution_id);

CREATE TABLE weft.dispatch_jobs (
	tenant_id UUID NOT NULL, 
	id UUID NOT NULL, 
	kind TEXT NOT NULL, 
	run_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
	execution_id UUID, 
	visit INTEGER DEFAULT 0 NOT NULL, 
	attempt INTEGER DEFAULT 0 NOT NULL, 
	detail JSONB, 
	state TEXT DEFAULT 'ready' NOT NULL, 
	priority SMALLINT DEFAULT 0 NOT NULL, 
	lease_until TIMESTAMP WITH TIME ZONE, 
	lease_owner TEXT, 
	epoch INTEGER DEFAULT 0 NOT NULL, 
	claims INTEGER DEFAULT 0 NOT NULL, 
	lapses SMALLINT DEFAULT 0 NOT NULL, 
	capped BOOLEAN DEFAULT false NOT NULL, 
	last_error TEXT, 
	created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
	CONSTRAINT dispatch_jobs_pkey PRIMARY KEY (tenant_id, id), 
	CONSTRAINT dispatch_jobs_state_check CHECK (state in ('ready', 'scheduled', 'leased', 'parked', 'suspect'))
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);

CREATE INDEX dispatch_jobs_capped_idx ON weft.dispatch_jobs (tenant_id) WHERE state = 'leased' and capped;

CREATE INDEX dispatch_jobs_due_idx ON weft.dispatch_jobs (run_at) WHERE state = 'scheduled';

CREATE INDEX dispatch_jobs_execution_idx ON weft.dispatch_jobs (tenant_id, execution_id);

CREATE INDEX dispatch_jobs_lease_idx ON weft.dispatch_jobs (lease_until) WHERE state = 'leased';

CREATE INDEX dispatch_jobs_ready_idx ON weft.dispatch_jobs (tenant_id, priority desc, run_at, id) WHERE state = 'ready';

CREATE INDEX dispatch_jobs_suspect_idx ON weft.dispatch_jobs (run_at) WHERE state = 'suspect';

CREATE TABLE weft.installation (
	profile TEXT NOT NULL, 
	is_only BOOLEAN DEFAULT true NOT NULL, 
	since TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL, 
	CONSTRAINT installation_pkey PRIMARY KEY (is_only), 
	CONSTRAINT installation_is_only_check CHECK (is_only), 
	CONSTRAINT installation_profile_check CHECK (profile in ('development', 'staging', 'production'))
);

CREATE TABLE weft.last_runs (
	kind TEXT NOT NULL, 
	started_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	ended_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	is_ok BOOLEAN NOT NULL, 
	succeeded_at TIMESTAMP WITH TIME ZONE, 
	details JSONB DEFAULT '{}'::jsonb NOT NULL, 
	CONSTRAINT last_runs_pkey PRIMARY KEY (kind)
);

CREATE TABLE weft.migration_history (
	id UUID NOT NULL, 
	revision TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	direction TEXT NOT NULL, 
	version TEXT NOT NULL, 
	applied_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL, 
	seconds FLOAT, 
	needs TEXT, 
	reason TEXT, 
	backup TEXT, 
	restore_point TEXT, 
	CONSTRAINT migration_history_pkey PRIMARY KEY (id), 
	CONSTRAINT migration_history_kind_check CHECK (kind in ('expand', 'backfill', 'contract')), 
	CONSTRAINT migration_history_direction_check CHECK (direction in ('up', 'down'))
);

CREATE INDEX migration_history_revision_idx ON weft.migration_history (revision, applied_at);

CREATE TABLE weft.permissions (
	resource TEXT NOT NULL, 
	action TEXT NOT NULL, 
	description TEXT NOT NULL, 
	CONSTRAINT permissions_pkey PRIMARY KEY (resource, action)
);

CREATE TABLE weft.recovery_archives (
	slot TEXT NOT NULL, 
	at TIMESTAMP WITH TIME ZONE NOT NULL, 
	complete_to TIMESTAMP WITH TIME ZONE, 
	spool_bytes BIGINT NOT NULL, 
	CONSTRAINT recovery_archives_pkey PRIMARY KEY (slot)
);

CREATE TABLE weft.recovery_drills (
	id UUID NOT NULL, 
	kind TEXT NOT NULL, 
	at TIMESTAMP WITH TIME ZONE NOT NULL, 
	ok BOOLEAN NOT NULL, 
	rpo_seconds DOUBLE PRECISION, 
	rto_seconds DOUBLE PRECISION NOT NULL, 
	detail JSONB NOT NULL, 
	CONSTRAINT recovery_drills_pkey PRIMARY KEY (id), 
	CONSTRAINT recovery_drills_kind_check CHECK (kind in ('POINT_IN_TIME', 'LOGICAL'))
);

CREATE INDEX recovery_drills_at_idx ON weft.recovery_drills (at desc);

CREATE TABLE weft.recovery_markers (
	drill UUID NOT NULL, 
	number INTEGER NOT NULL, 
	at TIMESTAMP WITH TIME ZONE NOT NULL, 
	CONSTRAINT recovery_markers_pkey PRIMARY KEY (drill, number)
);

CREATE TABLE weft.tenants (
	id UUID NOT NULL, 
	slug TEXT NOT NULL, 
	name TEXT NOT NULL, 
	tier TEXT DEFAULT 'FREE' NOT NULL, 
	settings JSONB DEFAULT '{}'::jsonb NOT NULL, 
	feature_flags JSONB DEFAULT '{}'::jsonb NOT NULL, 
	limits JSONB DEFAULT '{}'::jsonb NOT NULL, 
	retention JSONB DEFAULT '{}'::jsonb NOT NULL, 
	created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
	updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
	row_version INTEGER DEFAULT 1 NOT NULL, 
	deleted_at TIMESTAMP WITH TIME ZONE, 
	CONSTRAINT tenants_pkey PRIMARY KEY (id), 
	CONSTRAINT tenants_tier_check CHECK (tier in ('FREE', 'PRO', 'ENTERPRISE')), 
	CONSTRAINT tenants_slug_check CHECK (slug ~ '^[a-z0-9](-?[a-z0-9])*$' and length(slug) <= 63)
);

CREATE UNIQUE INDEX tenants_slug_key ON weft.tenants (slug) WHERE deleted_at is null;

CREATE TABLE weft.users (
	id UUID NOT NULL, 
	email TEXT NOT NULL, 
	email_key TEXT NOT NULL, 
	name TEXT NOT NULL, 
	password_hash TEXT, 
	last_sign_in_at TIMESTAMP WITH TIME ZONE, 
	created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
	updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
	row_version INTEGER DEFAULT 1 NOT NULL, 
	deleted_at TIMESTAMP WITH TIME ZONE, 
	CONSTRAINT users_pkey PRIMARY KEY (id)
);

CREATE UNIQUE INDEX users_email_key ON weft.users (email_key) WHERE deleted_at is null;

CREATE TABLE weft.archives (
	tenant_id UUID NOT NULL, 
	id UUID NOT NULL, 
	period_from TIMESTAMP WITH TIME ZONE NOT NULL, 
	period_to TIMESTAMP WITH TIME ZONE NOT NULL, 
	executions INTEGER NOT NULL, 
	rows BIGINT NOT NULL, 
	kind TEXT DEFAULT 'EXECUTIONS' NOT NULL, 
	file TEXT, 
	bytes BIGINT, 
	sha256 TEXT, 
	created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
	CONSTRAINT archives_pkey PRIMARY KEY (tenant_id, id), 
	CONSTRAINT archives_kind_check CHECK (kind in ('EXECUTIONS', 'JOURNALS'))
);

CREATE INDEX archives_created_at_idx ON weft.archives (tenant_id, created_at, id);

CREATE TABLE weft.clients (
	tenant_id UUID NOT NULL, 
	id UUID NOT NULL, 
	name TEXT NOT NULL, 
	name_key TEXT COLLATE "C" NOT NULL, 
	email TEXT, 
	phone TEXT, 
	address TEXT, 
	company TEXT, 
	notes TEXT, 
	is_active BOOLEAN DEFAULT true NOT NULL, 
	created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
	updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
	row_version INTEGER DEFAULT 1 NOT NULL, 
	deleted_at TIMESTAMP WITH TIME ZONE, 
	CONSTRAINT clients_pkey PRIMARY KEY (tenant_id, id)
);

CREATE INDEX clients_created_at_idx ON weft.clients (tenant_id, created_at, id);

CREATE INDEX clients_name_key_idx ON weft.clients (tenant_id, name_key, id);

CREATE TABLE weft.data_migrations (
	tenant_id UUID NOT NULL, 
	name TEXT NOT NULL, 
	state TEXT DEFAULT 'running' NOT NULL, 
	cursor JSONB, 
	rows BIGINT DEFAULT 0 NOT NULL, 
	expected BIGINT DEFAULT 0 NOT NULL, 
	error TEXT, 
	started_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL, 
	updated_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL, 
	finished_at TIMESTAMP WITH TIME ZONE, 
	CONSTRAINT data_migrations_pkey PRIMARY KEY (tenant_id, name), 
	CONSTRAINT data_migrations_state_check CHECK (state in ('running', 'done', 'failed'))
) with (fillfactor = 70);

CREATE TABLE weft.dispatch_limits (
	tenant_id UUID NOT NULL, 
	concurrent_jobs INTEGER, 
	weight SMALLINT DEFAULT 1 NOT NULL, 
	version INTEGER DEFAULT 0 NOT NULL, 
	CONSTRAINT dispatch_limits_pkey PRIMARY KEY (tenant_id), 
	CONSTRAINT dispatch_limits_concurrent_jobs_check CHECK (concurrent_jobs between 1 and 100000), 
	CONSTRAINT dispatch_limits_weight_check CHECK (weight between 1 and 100)
);

CREATE TABLE weft.event_interests (
	tenant_id UUID NOT NULL, 
	version INTEGER DEFAULT 1 NOT NULL, 
	ends BOOLEAN DEFAULT false NOT NULL, 
	CONSTRAINT event_interests_pkey PRIMARY KEY (tenant_id)
);

CREATE TABLE weft.events (
	tenant_id UUID NOT NULL, 
	id UUID NOT NULL, 
	type TEXT NOT NULL, 
	received_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	source TEXT NOT NULL, 
	correlation TEXT DEFAULT '' NOT NULL, 
	payload JSONB, 
	key TEXT, 
	execution_id UUID, 
	depth INTEGER DEFAULT 0 NOT NULL, 
	delivered_at TIMESTAMP WITH TIME ZONE, 
	effects JSONB, 
	CONSTRAINT events_pkey PRIMARY KEY (tenant_id, id), 
	CONSTRAINT events_source_check CHECK (source in ('API', 'STEP', 'WORKFLOW', 'QUESTION'))
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

CREATE INDEX events_age_idx ON weft.events (received_at);

CREATE INDEX events_correlation_idx ON weft.events (tenant_id, type, correlation, received_at, id);

CREATE UNIQUE INDEX events_key_key ON weft.events (tenant_id, key) WHERE key is not null;

CREATE INDEX events_received_at_idx ON weft.events (tenant_id, received_at, id);

CREATE INDEX events_type_idx ON weft.events (tenant_id, type, received_at, id);

CREATE TABLE weft.message_templates (
	tenant_id UUID NOT NULL, 
	id UUID NOT NULL, 
	name TEXT NOT NULL, 
	version INTEGER NOT NULL, 
	text TEXT NOT NULL, 
	subject TEXT DEFAULT '' NOT NULL, 
	html TEXT, 
	description TEXT DEFAULT '' NOT NULL, 
	is_newest BOOLEAN DEFAULT true NOT NULL, 
	created_by UUID, 
	created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
	CONSTRAINT message_templates_pkey PRIMARY KEY (tenant_id, id), 
	CONSTRAINT message_templates_tenant_id_name_version_key UNIQUE (tenant_id, name, version)
);

CREATE UNIQUE INDEX message_templates_newest_key ON weft.message_templates (tenant_id, name) WHERE is_newest;

CREATE TABLE weft.payload_usage (
	tenant_id UUID NOT NULL, 
	payloads BIGINT NOT NULL, 
	size BIGINT NOT NULL, 
	stored_size BIGINT NOT NULL, 
	CONSTRAINT payload_usage_pkey PRIMARY KEY (tenant_id)
) with (fillfactor = 50);

CREATE TABLE weft.rate_limits (
	tenant_id UUID NOT NULL, 
	id UUID NOT NULL, 
	target TEXT NOT NULL, 
	calls INTEGER NOT NULL, 
	seconds INTEGER DEFAULT 1 NOT NULL, 
	burst INTEGER DEFAULT 1 NOT NULL, 
	created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
	updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
	row_version INTEGER DEFAULT 1 NOT NULL, 
	CONSTRAINT rate_limits_pkey PRIMARY KEY (tenant_id, id), 
	CONSTRAINT rate_limits_tenant_id_target_key UNIQUE (tenant_id, target), 
	CONSTRAINT rate_limits_calls_check CHECK (calls between 1 and 1000000), 
	CONSTRAINT rate_limits_seconds_check CHECK (seconds between 1 and 86400), 
	CONSTRAINT rate_limits_burst_check CHECK (burst between 1 and 1000000)
);

CREATE INDEX rate_limits_created_at_idx ON weft.rate_limits (tenant_id, created_at, id);

CREATE TABLE weft.roles (
	tenant_id UUID NOT NULL, 
	id UUID NOT NULL, 
	name TEXT NOT NULL, 
	description TEXT DEFAULT '' NOT NULL, 
	is_builtin BOOLEAN DEFAULT false NOT NULL, 
	created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
	updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
	row_version INTEGER DEFAULT 1 NOT NULL, 
	CONSTRAINT roles_pkey PRIMARY KEY (tenant_id, id), 
	CONSTRAINT roles_tenant_id_name_key UNIQUE (tenant_id, name)
);

CREATE TABLE weft.secrets (
	tenant_id UUID NOT NULL, 
	id UUID NOT NULL, 
	name TEXT NOT NULL, 
	value BYTEA NOT NULL, 
	rotated_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	description TEXT DEFAULT '' NOT NULL, 
	version INTEGER DEFAULT 1 NOT NULL, 
	created_by UUID, 
	created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
	updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
	row_version INTEGER DEFAULT 1 NOT NULL, 
	CONSTRAINT secrets_pkey PRIMARY KEY (tenant_id, id), 
	CONSTRAINT secrets_tenant_id_name_key UNIQUE (tenant_id, name)
);

CREATE TABLE weft.tenant_keys (
	tenant_id UUID NOT NULL, 
	id UUID NOT NULL, 
	purpose TEXT NOT NULL, 
	number INTEGER NOT NULL, 
	wrapped BYTEA NOT NULL, 
	state TEXT DEFAULT 'ACTIVE' NOT NULL, 
	created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
	updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
	CONSTRAINT tenant_keys_pkey PRIMARY KEY (tenant_id, id), 
	CONSTRAINT tenant_keys_state_check CHECK (state in ('ACTIVE', 'RETIRED')), 
	CONSTRAINT tenant_keys_tenant_id_purpose_number_key UNIQUE (tenant_id, purpose, number)
);

CREATE TABLE weft.tenant_limits (
	tenant_id UUID NOT NULL, 
	concurrent_executions INTEGER NOT NULL, 
	CONSTRAINT tenant_limits_pkey PRIMARY KEY (tenant_id), 
	CONSTRAINT tenant_limits_concurrent_executions_check CHECK (concurrent_executions between 1 and 10000)
);

CREATE UNLOGGED TABLE weft.rate_limit_states (
	tenant_id UUID NOT NULL, 
	rate_limit_id UUID NOT NULL, 
	next_call BIGINT NOT NULL, 
	next_turn BIGINT DEFAULT 0 NOT NULL, 
	CONSTRAINT rate_limit_states_pkey PRIMARY KEY (tenant_id, rate_limit_id)
) with (fillfactor = 50);

CREATE TABLE weft.role_permissions (
	tenant_id UUID NOT NULL, 
	id UUID NOT NULL, 
	role_id UUID NOT NULL, 
	resource TEXT NOT NULL, 
	action TEXT NOT NULL, 
	created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
	updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
	CONSTRAINT role_permissions_pkey PRIMARY KEY (tenant_id, id), 
	CONSTRAINT role_permissions_tenant_id_role_id_resource_action_key UNIQUE (tenant_id, role_id, resource, action)
);

CREATE TABLE weft.tenant_users (
	tenant_id UUID NOT NULL, 
	id UUID NOT NULL, 
	user_id UUID NOT NULL, 
	role_id UUID NOT NULL, 
	email TEXT NOT NULL, 
	email_key TEXT NOT NULL, 
	name TEXT NOT NULL, 
	status TEXT DEFAULT 'ACTIVE' NOT NULL, 
	created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
	updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
	row_version INTEGER DEFAULT 1 NOT NULL, 
	CONSTRAINT tenant_users_pkey PRIMARY KEY (tenant_id, id), 
	CONSTRAINT tenant_users_status_check CHECK (status in ('ACTIVE', 'INACTIVE', 'INVITED', 'SUSPENDED')), 
	CONSTRAINT tenant_users_tenant_id_user_id_key UNIQUE (tenant_id, user_id), 
	CONSTRAINT tenant_users_tenant_id_email_key_key UNIQUE (tenant_id, email_key)
);

CREATE INDEX tenant_users_role_id_idx ON weft.tenant_users (tenant_id, role_id);

CREATE INDEX tenant_users_user_id_idx ON weft.tenant_users (user_id);

CREATE TABLE weft.workflows (
	tenant_id UUID NOT NULL, 
	id UUID NOT NULL, 
	name TEXT NOT NULL, 
	name_key TEXT NOT NULL, 
	description TEXT, 
	client_id UUID, 
	status TEXT DEFAULT 'DRAFT' NOT NULL, 
	version INTEGER DEFAULT 0 NOT NULL, 
	current_version_id UUID, 
	draft JSONB, 
	tags TEXT[] DEFAULT '{}'::text[] NOT NULL, 
	created_by UUID, 
	created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
	updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
	row_version INTEGER DEFAULT 1 NOT NULL, 
	deleted_at TIMESTAMP WITH TIME ZONE, 
	CONSTRAINT workflows_pkey PRIMARY KEY (tenant_id, id), 
	CONSTRAINT workflows_status_check CHECK (status in ('DRAFT', 'ACTIVE', 'INACTIVE', 'ARCHIVED'))
);

CREATE INDEX workflows_client_id_idx ON weft.workflows (tenant_id, client_id);

CREATE INDEX workflows_created_at_idx ON weft.workflows (tenant_id, created_at, id);

CREATE UNIQUE INDEX workflows_name_key ON weft.workflows (tenant_id, name_key) WHERE deleted_at is null;

CREATE INDEX workflows_status_idx ON weft.workflows (tenant_id, status, created_at, id);

CREATE TABLE weft.api_keys (
	tenant_id UUID NOT NULL, 
	id UUID NOT NULL, 
	user_id UUID NOT NULL, 
	name TEXT NOT NULL, 
	prefix TEXT NOT NULL, 
	secret_hash BYTEA NOT NULL, 
	scopes TEXT[] NOT NULL, 
	expires_at TIMESTAMP WITH TIME ZONE, 
	revoked_at TIMESTAMP WITH TIME ZONE, 
	created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
	updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
	row_version INTEGER DEFAULT 1 NOT NULL, 
	CONSTRAINT api_keys_pkey PRIMARY KEY (tenant_id, id)
);

CREATE INDEX api_keys_user_id_idx ON weft.api_keys (tenant_id, user_id);

CREATE TABLE weft.sessions (
	tenant_id UUID NOT NULL, 
	id UUID NOT NULL, 
	user_id UUID NOT NULL, 
	secret_hash BYTEA NOT NULL, 
	expires_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	ip TEXT, 
	user_agent TEXT, 
	revoked_at TIMESTAMP WITH TIME ZONE, 
	created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
	updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
	CONSTRAINT sessions_pkey PRIMARY KEY (tenant_id, id)
);

CREATE INDEX sessions_user_id_idx ON weft.sessions (tenant_id, user_id);

CREATE TABLE weft.user_permissions (
	tenant_id UUID NOT NULL, 
	id UUID NOT NULL, 
	user_id UUID NOT NULL, 
	resource TEXT NOT NULL, 
	action TEXT NOT NULL, 
	effect TEXT DEFAULT 'ALLOW' NOT NULL, 
	created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
	updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
	CONSTRAINT user_permissions_pkey PRIMARY KEY (tenant_id, id), 
	CONSTRAINT user_permissions_effect_check CHECK (effect in ('ALLOW', 'DENY')), 
	CONSTRAINT user_permissions_tenant_id_user_id_resource_action_key UNIQUE (tenant_id, user_id, resource, action)
);

CREATE TABLE weft.workflow_counters (
	tenant_id UUID NOT NULL, 
	workflow_id UUID NOT NULL, 
	last_number INTEGER DEFAULT 0 NOT NULL, 
	settings INTEGER DEFAULT 0 NOT NULL, 
	CONSTRAINT workflow_counters_pkey PRIMARY KEY (tenant_id, workflow_id)
) with (fillfactor = 50);

CREATE TABLE weft.workflow_limits (
	tenant_id UUID NOT NULL, 
	id UUID NOT NULL, 
	workflow_id UUID NOT NULL, 
	concurrent INTEGER, 
	key TEXT, 
	when_full TEXT DEFAULT 'queue' NOT NULL, 
	priority SMALLINT DEFAULT 0 NOT NULL, 
	created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
	updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
	row_version INTEGER DEFAULT 1 NOT NULL, 
	CONSTRAINT workflow_limits_pkey PRIMARY KEY (tenant_id, id), 
	CONSTRAINT workflow_limits_tenant_id_workflow_id_key UNIQUE (tenant_id, workflow_id), 
	CONSTRAINT workflow_limits_concurrent_check CHECK (concurrent between 1 and 10000), 
	CONSTRAINT workflow_limits_priority_check CHECK (priority between -100 and 100), 
	CONSTRAINT workflow_limits_when_full_check CHECK (when_full in ('queue', 'refuse'))
);

CREATE INDEX workflow_limits_created_at_idx ON weft.workflow_limits (tenant_id, created_at, id);

CREATE TABLE weft.workflow_triggers (
	tenant_id UUID NOT NULL, 
	id UUID NOT NULL, 
	workflow_id UUID NOT NULL, 
	kind TEXT NOT NULL, 
	name TEXT DEFAULT '' NOT NULL, 
	config JSONB DEFAULT '{}'::jsonb NOT NULL, 
	token_hash BYTEA, 
	secret BYTEA, 
	enabled BOOLEAN DEFAULT true NOT NULL, 
	created_by UUID, 
	previous_token_hash BYTEA, 
	token_grace_until TIMESTAMP WITH TIME ZONE, 
	previous_secret BYTEA, 
	signing_grace_until TIMESTAMP WITH TIME ZONE, 
	created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
	updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
	row_version INTEGER DEFAULT 1 NOT NULL, 
	CONSTRAINT workflow_triggers_pkey PRIMARY KEY (tenant_id, id), 
	CONSTRAINT workflow_triggers_kind_check CHECK (kind in ('MANUAL', 'WEBHOOK', 'SCHEDULE', 'EVENT'))
);

CREATE INDEX workflow_triggers_event_idx ON weft.workflow_triggers (tenant_id, id) WHERE kind = 'EVENT' and enabled;

CREATE UNIQUE INDEX workflow_triggers_name_key ON weft.workflow_triggers (tenant_id, workflow_id, name) WHERE name <> '';

CREATE INDEX workflow_triggers_workflow_id_idx ON weft.workflow_triggers (tenant_id, workflow_id);

CREATE TABLE weft.workflow_versions (
	tenant_id UUID NOT NULL, 
	id UUID NOT NULL, 
	workflow_id UUID NOT NULL, 
	number INTEGER NOT NULL, 
	definition JSONB NOT NULL, 
	content_hash TEXT NOT NULL, 
	note TEXT DEFAULT '' NOT NULL, 
	created_by UUID, 
	created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
	CONSTRAINT workflow_versions_pkey PRIMARY KEY (tenant_id, id), 
	CONSTRAINT workflow_versions_tenant_id_workflow_id_number_key UNIQUE (tenant_id, workflow_id, number)
);

CREATE TABLE weft.api_key_uses (
	tenant_id UUID NOT NULL, 
	key_id UUID NOT NULL, 
	last_used_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	CONSTRAINT api_key_uses_pkey PRIMARY KEY (tenant_id, key_id)
) with (fillfactor = 50);

CREATE TABLE weft.schedule_runs (
	tenant_id UUID NOT NULL, 
	id UUID NOT NULL, 
	trigger_id UUID NOT NULL, 
	due_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	status TEXT NOT NULL, 
	decided_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	reason TEXT, 
	until TIMESTAMP WITH TIME ZONE, 
	times INTEGER DEFAULT 1 NOT NULL, 
	execution_id UUID, 
	started_at TIMESTAMP WITH TIME ZONE, 
	open BOOLEAN DEFAULT false NOT NULL, 
	CONSTRAINT schedule_runs_pkey PRIMARY KEY (tenant_id, id), 
	CONSTRAINT schedule_runs_tenant_id_trigger_id_due_at_key UNIQUE (tenant_id, trigger_id, due_at), 
	CONSTRAINT schedule_runs_status_check CHECK (status in ('PENDING', 'QUEUED', 'STARTED', 'SKIPPED', 'MISSED', 'FAILED'))
);

CREATE INDEX schedule_runs_decided_at_idx ON weft.schedule_runs (decided_at);

CREATE INDEX schedule_runs_open_idx ON weft.schedule_runs (tenant_id, trigger_id, due_at) WHERE open;

CREATE TABLE weft.workflow_executions (
	tenant_id UUID NOT NULL, 
	id UUID NOT NULL, 
	workflow_id UUID NOT NULL, 
	version_id UUID NOT NULL, 
	number INTEGER NOT NULL, 
	client_id UUID, 
	status TEXT DEFAULT 'PENDING' NOT NULL, 
	state JSONB, 
	input JSONB, 
	output JSONB, 
	error JSONB, 
	metadata JSONB DEFAULT '{}'::jsonb NOT NULL, 
	trigger TEXT DEFAULT 'MANUAL' NOT NULL, 
	trigger_id UUID, 
	started_by UUID, 
	idempotency_key TEXT, 
	correlation_id TEXT, 
	parent_id UUID, 
	parent_visit INTEGER, 
	depth INTEGER DEFAULT 0 NOT NULL, 
	awaited BOOLEAN DEFAULT false NOT NULL, 
	simulation BOOLEAN DEFAULT false NOT NULL, 
	cost NUMERIC(20, 10) DEFAULT 0 NOT NULL, 
	priority SMALLINT DEFAULT 0 NOT NULL, 
	place_key TEXT, 
	journal_gone BOOLEAN DEFAULT false NOT NULL, 
	row_version INTEGER DEFAULT 1 NOT NULL, 
	created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
	updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
	started_at TIMESTAMP WITH TIME ZONE, 
	completed_at TIMESTAMP WITH TIME ZONE, 
	CONSTRAINT workflow_executions_pkey PRIMARY KEY (tenant_id, id), 
	CONSTRAINT workflow_executions_status_check CHECK (status in ('PENDING', 'RUNNING', 'WAITING', 'PAUSED', 'COMPLETED', 'FAILED', 'CANCELLED'))
) with (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.02);

CREATE INDEX workflow_executions_client_id_idx ON weft.workflow_executions (tenant_id, client_id, created_at, id) WHERE client_id is not null;

CREATE INDEX workflow_executions_created_at_idx ON weft.workflow_executions (tenant_id, created_at, id);

CREATE UNIQUE INDEX workflow_executions_idempotency_key ON weft.workflow_executions (tenant_id, workflow_id, idempotency_key) WHERE idempotency_key is not null;

CREATE INDEX workflow_executions_parent_id_idx ON weft.workflow_executions (tenant_id, parent_id) WHERE parent_id is not null;

CREATE INDEX workflow_executions_simulation_idx ON weft.workflow_executions (tenant_id, created_at, id, status) WHERE simulation;

CREATE INDEX workflow_executions_status_idx ON weft.workflow_executions (tenant_id, status, created_at, id);

CREATE INDEX workflow_executions_version_id_idx ON weft.workflow_executions (tenant_id, version_id);

CREATE INDEX workflow_executions_workflow_id_idx ON weft.workflow_executions (tenant_id, workflow_id, created_at, id);

CREATE TABLE weft.workflow_publications (
	tenant_id UUID NOT NULL, 
	version_id UUID NOT NULL, 
	published_by UUID, 
	published_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
	CONSTRAINT workflow_publications_pkey PRIMARY KEY (tenant_id, version_id)
);

CREATE TABLE weft.workflow_schedules (
	tenant_id UUID NOT NULL, 
	trigger_id UUID NOT NULL, 
	next_run_at TIMESTAMP WITH TIME ZONE, 
	last_run_at TIMESTAMP WITH TIME ZONE, 
	wake_at TIMESTAMP WITH TIME ZONE, 
	epoch INTEGER DEFAULT 0 NOT NULL, 
	CONSTRAINT workflow_schedules_pkey PRIMARY KEY (tenant_id, trigger_id)
) with (fillfactor = 70);

CREATE INDEX workflow_schedules_wake_at_idx ON weft.workflow_schedules (wake_at) WHERE wake_at is not null;

CREATE TABLE weft.workflow_steps (
	tenant_id UUID NOT NULL, 
	id UUID NOT NULL, 
	version_id UUID NOT NULL, 
	key TEXT NOT NULL, 
	name TEXT NOT NULL, 
	step_type TEXT NOT NULL, 
	"order" INTEGER NOT NULL, 
	config JSONB NOT NULL, 
	description TEXT, 
	is_required BOOLEAN DEFAULT true NOT NULL, 
	position JSONB, 
	CONSTRAINT workflow_steps_pkey PRIMARY KEY (tenant_id, id), 
	CONSTRAINT workflow_steps_tenant_id_version_id_key_key UNIQUE (tenant_id, version_id, key)
);

CREATE INDEX workflow_steps_order_idx ON weft.workflow_steps (tenant_id, version_id, "order");

CREATE TABLE weft.event_waits (
	tenant_id UUID NOT NULL, 
	id UUID NOT NULL, 
	execution_id UUID NOT NULL, 
	visit INTEGER NOT NULL, 
	attempt INTEGER NOT NULL, 
	step TEXT NOT NULL, 
	type TEXT NOT NULL, 
	since TIMESTAMP WITH TIME ZONE NOT NULL, 
	correlation TEXT DEFAULT '' NOT NULL, 
	taken UUID, 
	CONSTRAINT event_waits_pkey PRIMARY KEY (tenant_id, id)
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);

CREATE INDEX event_waits_execution_id_idx ON weft.event_waits (tenant_id, execution_id, visit, attempt);

CREATE INDEX event_waits_open_idx ON weft.event_waits (tenant_id, type, correlation, id) WHERE taken is null;

CREATE TABLE weft.execution_logs (
	tenant_id UUID NOT NULL, 
	started_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	id UUID NOT NULL, 
	execution_id UUID NOT NULL, 
	step_id UUID, 
	step_key TEXT, 
	frame TEXT DEFAULT '' NOT NULL, 
	visit INTEGER DEFAULT 0 NOT NULL, 
	attempt INTEGER DEFAULT 0 NOT NULL, 
	status TEXT DEFAULT 'PENDING' NOT NULL, 
	message TEXT, 
	data JSONB, 
	error JSONB, 
	completed_at TIMESTAMP WITH TIME ZONE, 
	saved_in INTEGER DEFAULT 0 NOT NULL, 
	CONSTRAINT execution_logs_pkey PRIMARY KEY (tenant_id, started_at, id), 
	CONSTRAINT execution_logs_status_check CHECK (status in ('PENDING', 'RUNNING', 'COMPLETED', 'FAILED', 'SKIPPED', 'CANCELLED'))
)
 PARTITION BY range (started_at);

CREATE INDEX execution_logs_execution_id_idx ON weft.execution_logs (tenant_id, execution_id, visit, attempt);

CREATE INDEX execution_logs_step_id_idx ON weft.execution_logs (tenant_id, step_id, started_at);

CREATE TABLE weft.execution_places (
	tenant_id UUID NOT NULL, 
	execution_id UUID NOT NULL, 
	workflow_id UUID NOT NULL, 
	key TEXT DEFAULT '' NOT NULL, 
	state TEXT DEFAULT 'waiting' NOT NULL, 
	tenant_wide BOOLEAN DEFAULT true NOT NULL, 
	priority SMALLINT DEFAULT 0 NOT NULL, 
	since TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL, 
	CONSTRAINT execution_places_pkey PRIMARY KEY (tenant_id, execution_id), 
	CONSTRAINT execution_places_state_check CHECK (state in ('waiting', 'placed', 'held'))
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);

CREATE INDEX execution_places_state_idx ON weft.execution_places (tenant_id, state, tenant_wide, priority desc, since, execution_id);

CREATE INDEX execution_places_workflow_idx ON weft.execution_places (tenant_id, workflow_id, key, state, priority desc, since, execution_id);

CREATE TABLE weft.item_chunks (
	tenant_id UUID NOT NULL, 
	execution_id UUID NOT NULL, 
	visit INTEGER NOT NULL, 
	attempt INTEGER NOT NULL, 
	first INTEGER NOT NULL, 
	count INTEGER NOT NULL, 
	items JSONB NOT NULL, 
	CONSTRAINT item_chunks_pkey PRIMARY KEY (tenant_id, execution_id, visit, attempt, first)
);

CREATE TABLE weft.item_results (
	tenant_id UUID NOT NULL, 
	execution_id UUID NOT NULL, 
	visit INTEGER NOT NULL, 
	attempt INTEGER NOT NULL, 
	first INTEGER NOT NULL, 
	indexes INTEGER[] NOT NULL, 
	results INTEGER[] NOT NULL, 
	CONSTRAINT item_results_pkey PRIMARY KEY (tenant_id, execution_id, visit, attempt, first)
);

CREATE TABLE weft.payloads (
	tenant_id UUID NOT NULL, 
	execution_id UUID NOT NULL, 
	id UUID NOT NULL, 
	size BIGINT NOT NULL, 
	stored_size BIGINT NOT NULL, 
	encoding TEXT NOT NULL, 
	data BYTEA NOT NULL, 
	CONSTRAINT payloads_pkey PRIMARY KEY (tenant_id, execution_id, id)
);

CREATE TABLE weft.questions (
	tenant_id UUID NOT NULL, 
	id UUID NOT NULL, 
	execution_id UUID NOT NULL, 
	visit INTEGER NOT NULL, 
	attempt INTEGER NOT NULL, 
	step TEXT NOT NULL, 
	question TEXT NOT NULL, 
	asked_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	choices TEXT[], 
	"to" TEXT, 
	correlation TEXT DEFAULT '' NOT NULL, 
	status TEXT DEFAULT 'OPEN' NOT NULL, 
	answer JSONB, 
	comment TEXT, 
	answered_by UUID, 
	answered_at TIMESTAMP WITH TIME ZONE, 
	CONSTRAINT questions_pkey PRIMARY KEY (tenant_id, id), 
	CONSTRAINT questions_tenant_id_execution_id_visit_attempt_key UNIQUE (tenant_id, execution_id, visit, attempt), 
	CONSTRAINT questions_status_check CHECK (status in ('OPEN', 'ANSWERED', 'CLOSED'))
);

CREATE INDEX questions_status_idx ON weft.questions (tenant_id, status, asked_at, id);

CREATE TABLE weft.workflow_transitions (
	tenant_id UUID NOT NULL, 
	id UUID NOT NULL, 
	version_id UUID NOT NULL, 
	from_step_id UUID NOT NULL, 
	to_step_id UUID NOT NULL, 
	condition JSONB, 
	is_default BOOLEAN DEFAULT false NOT NULL, 
	"order" INTEGER DEFAULT 0 NOT NULL, 
	CONSTRAINT workflow_transitions_pkey PRIMARY KEY (tenant_id, id)
);

CREATE INDEX workflow_transitions_from_step_id_idx ON weft.workflow_transitions (tenant_id, from_step_id);

CREATE INDEX workflow_transitions_to_step_id_idx ON weft.workflow_transitions (tenant_id, to_step_id);

CREATE INDEX workflow_transitions_version_id_idx ON weft.workflow_transitions (tenant_id, version_id);

ALTER TABLE weft.archives ADD CONSTRAINT archives__fkey FOREIGN KEY(tenant_id) REFERENCES weft.tenants (id);

ALTER TABLE weft.clients ADD CONSTRAINT clients__fkey FOREIGN KEY(tenant_id) REFERENCES weft.tenants (id);

ALTER TABLE weft.data_migrations ADD CONSTRAINT data_migrations__fkey FOREIGN KEY(tenant_id) REFERENCES weft.tenants (id);

ALTER TABLE weft.dispatch_limits ADD CONSTRAINT dispatch_limits__fkey FOREIGN KEY(tenant_id) REFERENCES weft.tenants (id);

ALTER TABLE weft.event_interests ADD CONSTRAINT event_interests__fkey FOREIGN KEY(tenant_id) REFERENCES weft.tenants (id);

ALTER TABLE weft.events ADD CONSTRAINT events__fkey FOREIGN KEY(tenant_id) REFERENCES weft.tenants (id);

ALTER TABLE weft.message_templates ADD CONSTRAINT message_templates__fkey FOREIGN KEY(tenant_id) REFERENCES weft.tenants (id);

ALTER TABLE weft.payload_usage ADD CONSTRAINT payload_usage__fkey FOREIGN KEY(tenant_id) REFERENCES weft.tenants (id);

ALTER TABLE weft.rate_limits ADD CONSTRAINT rate_limits__fkey FOREIGN KEY(tenant_id) REFERENCES weft.tenants (id);

ALTER TABLE weft.roles ADD CONSTRAINT roles__fkey FOREIGN KEY(tenant_id) REFERENCES weft.tenants (id);

ALTER TABLE weft.secrets ADD CONSTRAINT secrets__fkey FOREIGN KEY(tenant_id) REFERENCES weft.tenants (id);

ALTER TABLE weft.tenant_keys ADD CONSTRAINT tenant_keys__fkey FOREIGN KEY(tenant_id) REFERENCES weft.tenants (id);

ALTER TABLE weft.tenant_limits ADD CONSTRAINT tenant_limits__fkey FOREIGN KEY(tenant_id) REFERENCES weft.tenants (id);

ALTER TABLE weft.rate_limit_states ADD CONSTRAINT rate_limit_states_rate_limit_id_fkey FOREIGN KEY(tenant_id, rate_limit_id) REFERENCES weft.rate_limits (tenant_id, id) ON DELETE CASCADE;

ALTER TABLE weft.role_permissions ADD CONSTRAINT role_permissions_permission_fkey FOREIGN KEY(resource, action) REFERENCES weft.permissions (resource, action);

ALTER TABLE weft.role_permissions ADD CONSTRAINT role_permissions_role_id_fkey FOREIGN KEY(tenant_id, role_id) REFERENCES weft.roles (tenant_id, id) ON DELETE CASCADE;

ALTER TABLE weft.tenant_users ADD CONSTRAINT tenant_users__fkey FOREIGN KEY(tenant_id) REFERENCES weft.tenants (id);

ALTER TABLE weft.tenant_users ADD CONSTRAINT tenant_users_role_id_fkey FOREIGN KEY(tenant_id, role_id) REFERENCES weft.roles (tenant_id, id);

ALTER TABLE weft.tenant_users ADD CONSTRAINT tenant_users_user_id_fkey FOREIGN KEY(user_id) REFERENCES weft.users (id);

ALTER TABLE weft.workflows ADD CONSTRAINT workflows__fkey FOREIGN KEY(tenant_id) REFERENCES weft.tenants (id);

ALTER TABLE weft.workflows ADD CONSTRAINT workflows_client_id_fkey FOREIGN KEY(tenant_id, client_id) REFERENCES weft.clients (tenant_id, id);

ALTER TABLE weft.api_keys ADD CONSTRAINT api_keys_user_id_fkey FOREIGN KEY(tenant_id, user_id) REFERENCES weft.tenant_users (tenant_id, user_id) ON DELETE CASCADE;

ALTER TABLE weft.sessions ADD CONSTRAINT sessions_user_id_fkey FOREIGN KEY(tenant_id, user_id) REFERENCES weft.tenant_users (tenant_id, user_id) ON DELETE CASCADE;

ALTER TABLE weft.user_permissions ADD CONSTRAINT user_permissions_permission_fkey FOREIGN KEY(resource, action) REFERENCES weft.permissions (resource, action);

ALTER TABLE weft.user_permissions ADD CONSTRAINT user_permissions_user_id_fkey FOREIGN KEY(tenant_id, user_id) REFERENCES weft.tenant_users (tenant_id, user_id) ON DELETE CASCADE;

ALTER TABLE weft.workflow_counters ADD CONSTRAINT workflow_counters_workflow_id_fkey FOREIGN KEY(tenant_id, workflow_id) REFERENCES weft.workflows (tenant_id, id) ON DELETE CASCADE;

ALTER TABLE weft.workflow_limits ADD CONSTRAINT workflow_limits_workflow_id_fkey FOREIGN KEY(tenant_id, workflow_id) REFERENCES weft.workflows (tenant_id, id) ON DELETE CASCADE;

ALTER TABLE weft.workflow_triggers ADD CONSTRAINT workflow_triggers_workflow_id_fkey FOREIGN KEY(tenant_id, workflow_id) REFERENCES weft.workflows (tenant_id, id);

ALTER TABLE weft.workflow_versions ADD CONSTRAINT workflow_versions_workflow_id_fkey FOREIGN KEY(tenant_id, workflow_id) REFERENCES weft.workflows (tenant_id, id);

ALTER TABLE weft.api_key_uses ADD CONSTRAINT api_key_uses_key_id_fkey FOREIGN KEY(tenant_id, key_id) REFERENCES weft.api_keys (tenant_id, id) ON DELETE CASCADE;

ALTER TABLE weft.schedule_runs ADD CONSTRAINT schedule_runs_trigger_id_fkey FOREIGN KEY(tenant_id, trigger_id) REFERENCES weft.workflow_triggers (tenant_id, id) ON DELETE CASCADE;

ALTER TABLE weft.workflow_executions ADD CONSTRAINT workflow_executions_client_id_fkey FOREIGN KEY(tenant_id, client_id) REFERENCES weft.clients (tenant_id, id);

ALTER TABLE weft.workflow_executions ADD CONSTRAINT workflow_executions_parent_id_fkey FOREIGN KEY(tenant_id, parent_id) REFERENCES weft.workflow_executions (tenant_id, id);

ALTER TABLE weft.workflow_executions ADD CONSTRAINT workflow_executions_version_id_fkey FOREIGN KEY(tenant_id, version_id) REFERENCES weft.workflow_versions (tenant_id, id);

ALTER TABLE weft.workflow_executions ADD CONSTRAINT workflow_executions_workflow_id_fkey FOREIGN KEY(tenant_id, workflow_id) REFERENCES weft.workflows (tenant_id, id);

ALTER TABLE weft.workflow_publications ADD CONSTRAINT workflow_publications_version_id_fkey FOREIGN KEY(tenant_id, version_id) REFERENCES weft.workflow_versions (tenant_id, id);

ALTER TABLE weft.workflow_schedules ADD CONSTRAINT workflow_schedules_trigger_id_fkey FOREIGN KEY(tenant_id, trigger_id) REFERENCES weft.workflow_triggers (tenant_id, id) ON DELETE CASCADE;

ALTER TABLE weft.workflow_steps ADD CONSTRAINT workflow_steps_version_id_fkey FOREIGN KEY(tenant_id, version_id) REFERENCES weft.workflow_versions (tenant_id, id);

ALTER TABLE weft.event_waits ADD CONSTRAINT event_waits_execution_id_fkey FOREIGN KEY(tenant_id, execution_id) REFERENCES weft.workflow_executions (tenant_id, id) ON DELETE CASCADE;

ALTER TABLE weft.execution_logs ADD CONSTRAINT execution_logs_execution_id_fkey FOREIGN KEY(tenant_id, execution_id) REFERENCES weft.workflow_executions (tenant_id, id);

ALTER TABLE weft.execution_logs ADD CONSTRAINT execution_logs_step_id_fkey FOREIGN KEY(tenant_id, step_id) REFERENCES weft.workflow_steps (tenant_id, id);

ALTER TABLE weft.execution_places ADD CONSTRAINT execution_places_execution_id_fkey FOREIGN KEY(tenant_id, execution_id) REFERENCES weft.workflow_executions (tenant_id, id) ON DELETE CASCADE;

ALTER TABLE weft.execution_places ADD CONSTRAINT execution_places_workflow_id_fkey FOREIGN KEY(tenant_id, workflow_id) REFERENCES weft.workflows (tenant_id, id);

ALTER TABLE weft.item_chunks ADD CONSTRAINT item_chunks_execution_id_fkey FOREIGN KEY(tenant_id, execution_id) REFERENCES weft.workflow_executions (tenant_id, id) ON DELETE CASCADE;

ALTER TABLE weft.item_results ADD CONSTRAINT item_results_execution_id_fkey FOREIGN KEY(tenant_id, execution_id) REFERENCES weft.workflow_executions (tenant_id, id) ON DELETE CASCADE;

ALTER TABLE weft.payloads ADD CONSTRAINT payloads_execution_id_fkey FOREIGN KEY(tenant_id, execution_id) REFERENCES weft.workflow_executions (tenant_id, id) ON DELETE CASCADE;

ALTER TABLE weft.questions ADD CONSTRAINT questions_execution_id_fkey FOREIGN KEY(tenant_id, execution_id) REFERENCES weft.workflow_executions (tenant_id, id) ON DELETE CASCADE;

ALTER TABLE weft.workflow_transitions ADD CONSTRAINT workflow_transitions_from_step_id_fkey FOREIGN KEY(tenant_id, from_step_id) REFERENCES weft.workflow_steps (tenant_id, id);

ALTER TABLE weft.workflow_transitions ADD CONSTRAINT workflow_transitions_to_step_id_fkey FOREIGN KEY(tenant_id, to_step_id) REFERENCES weft.workflow_steps (tenant_id, id);

ALTER TABLE weft.workflow_transitions ADD CONSTRAINT workflow_transitions_version_id_fkey FOREIGN KEY(tenant_id, version_id) REFERENCES weft.workflow_versions (tenant_id, id);

alter table weft.app_instances enable row level security;

alter table weft.app_instances force row level security;

create policy everybody_reads on weft.app_instances for select to weft_app using (true);

create policy owner_maint on weft.app_instances to weft_owner using (current_setting('app.maintenance', true) = 'on') with check (current_setting('app.maintenance', true) = 'on');

alter table weft.audit_logs enable row level security;

alter table weft.audit_logs force row level security;

create policy tenant_rw on weft.audit_logs to weft_app using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

create policy owner_maint on weft.audit_logs to weft_owner using (current_setting('app.maintenance', true) = 'on') with check (current_setting('app.maintenance', true) = 'on');

alter table weft.backups enable row level security;

alter table weft.backups force row level security;

create policy everybody_reads on weft.backups for select to weft_app using (true);

create policy owner_maint on weft.backups to weft_owner using (current_setting('app.maintenance', true) = 'on') with check (current_setting('app.maintenance', true) = 'on');

alter table weft.dispatch_dead enable row level security;

alter table weft.dispatch_dead force row level security;

create policy tenant_rw on weft.dispatch_dead to weft_app using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

create policy owner_maint on weft.dispatch_dead to weft_owner using (current_setting('app.maintenance', true) = 'on') with check (current_setting('app.maintenance', true) = 'on');

alter table weft.dispatch_jobs enable row level security;

alter table weft.dispatch_jobs force row level security;

create policy tenant_rw on weft.dispatch_jobs to weft_app using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

create policy owner_maint on weft.dispatch_jobs to weft_owner using (current_setting('app.maintenance', true) = 'on') with check (current_setting('app.maintenance', true) = 'on');

alter table weft.installation enable row level security;

alter table weft.installation force row level security;

create policy everybody_reads on weft.installation for select to weft_app using (true);

create policy owner_maint on weft.installation to weft_owner using (current_setting('app.maintenance', true) = 'on') with check (current_setting('app.maintenance', true) = 'on');

alter table weft.last_runs enable row level security;

alter table weft.last_runs force row level security;

create policy everybody_reads on weft.last_runs for select to weft_app using (true);

create policy owner_maint on weft.last_runs to weft_owner using (current_setting('app.maintenance', true) = 'on') with check (current_setting('app.maintenance', true) = 'on');

alter table weft.migration_history enable row level security;

alter table weft.migration_history force row level security;

create policy everybody_reads on weft.migration_history for select to weft_app using (true);

create policy owner_maint on weft.migration_history to weft_owner using (current_setting('app.maintenance', true) = 'on') with check (current_setting('app.maintenance', true) = 'on');

alter table weft.permissions enable row level security;

alter table weft.permissions force row level security;

create policy everybody_reads on weft.permissions for select to weft_app using (true);

create policy owner_maint on weft.permissions to weft_owner using (current_setting('app.maintenance', true) = 'on') with check (current_setting('app.maintenance', true) = 'on');

alter table weft.recovery_archives enable row level security;

alter table weft.recovery_archives force row level security;

create policy everybody_reads on weft.recovery_archives for select to weft_app using (true);

create policy owner_maint on weft.recovery_archives to weft_owner using (current_setting('app.maintenance', true) = 'on') with check (current_setting('app.maintenance', true) = 'on');

alter table weft.recovery_drills enable row level security;

alter table weft.recovery_drills force row level security;

create policy everybody_reads on weft.recovery_drills for select to weft_app using (true);

create policy owner_maint on weft.recovery_drills to weft_owner using (current_setting('app.maintenance', true) = 'on') with check (current_setting('app.maintenance', true) = 'on');

alter table weft.recovery_markers enable row level security;

alter table weft.recovery_markers force row level security;

create policy everybody_reads on weft.recovery_markers for select to weft_app using (true);

create policy owner_maint on weft.recovery_markers to weft_owner using (current_setting('app.maintenance', true) = 'on') with check (current_setting('app.maintenance', true) = 'on');

alter table weft.tenants enable row level security;

alter table weft.tenants force row level security;

create policy tenant_rw on weft.tenants to weft_app using (id = nullif(current_setting('app.tenant_id', true), '')::uuid) with check (id = nullif(current_setting('app.tenant_id', true), '')::uuid);

create policy owner_maint on weft.tenants to weft_owner using (current_setting('app.maintenance', true) = 'on') with check (current_setting('app.maintenance', true) = 'on');

alter table weft.users enable row level security;

alter table weft.users force row level security;

create policy tenant_rw on weft.users to weft_app using (id = nullif(current_setting('app.user_id', true), '')::uuid) with check (id = nullif(current_setting('app.user_id', true), '')::uuid);

create policy owner_maint on weft.users to weft_owner using (current_setting('app.maintenance', true) = 'on') with check (current_setting('app.maintenance', true) = 'on');

alter table weft.archives enable row level security;

alter table weft.archives force row level security;

create policy tenant_rw on weft.archives to weft_app using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

create policy owner_maint on weft.archives to weft_owner using (current_setting('app.maintenance', true) = 'on') with check (current_setting('app.maintenance', true) = 'on');

alter table weft.clients enable row level security;

alter table weft.clients force row level security;

create policy tenant_rw on weft.clients to weft_app using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

create policy owner_maint on weft.clients to weft_owner using (current_setting('app.maintenance', true) = 'on') with check (current_setting('app.maintenance', true) = 'on');

alter table weft.data_migrations enable row level security;

alter table weft.data_migrations force row level security;

create policy tenant_rw on weft.data_migrations to weft_app using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

create policy owner_maint on weft.data_migrations to weft_owner using (current_setting('app.maintenance', true) = 'on') with check (current_setting('app.maintenance', true) = 'on');

alter table weft.dispatch_limits enable row level security;

alter table weft.dispatch_limits force row level security;

create policy tenant_rw on weft.dispatch_limits to weft_app using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

create policy owner_maint on weft.dispatch_limits to weft_owner using (current_setting('app.maintenance', true) = 'on') with check (current_setting('app.maintenance', true) = 'on');

alter table weft.event_interests enable row level security;

alter table weft.event_interests force row level security;

create policy tenant_rw on weft.event_interests to weft_app using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

create policy owner_maint on weft.event_interests to weft_owner using (current_setting('app.maintenance', true) = 'on') with check (current_setting('app.maintenance', true) = 'on');

alter table weft.events enable row level security;

alter table weft.events force row level security;

create policy tenant_rw on weft.events to weft_app using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

create policy owner_maint on weft.events to weft_owner using (current_setting('app.maintenance', true) = 'on') with check (current_setting('app.maintenance', true) = 'on');

alter table weft.message_templates enable row level security;

alter table weft.message_templates force row level security;

create policy tenant_rw on weft.message_templates to weft_app using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

create policy owner_maint on weft.message_templates to weft_owner using (current_setting('app.maintenance', true) = 'on') with check (current_setting('app.maintenance', true) = 'on');

alter table weft.payload_usage enable row level security;

alter table weft.payload_usage force row level security;

create policy tenant_rw on weft.payload_usage to weft_app using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

create policy owner_maint on weft.payload_usage to weft_owner using (current_setting('app.maintenance', true) = 'on') with check (current_setting('app.maintenance', true) = 'on');

alter table weft.rate_limits enable row level security;

alter table weft.rate_limits force row level security;

create policy tenant_rw on weft.rate_limits to weft_app using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

create policy owner_maint on weft.rate_limits to weft_owner using (current_setting('app.maintenance', true) = 'on') with check (current_setting('app.maintenance', true) = 'on');

alter table weft.roles enable row level security;

alter table weft.roles force row level security;

create policy tenant_rw on weft.roles to weft_app using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

create policy owner_maint on weft.roles to weft_owner using (current_setting('app.maintenance', true) = 'on') with check (current_setting('app.maintenance', true) = 'on');

alter table weft.secrets enable row level security;

alter table weft.secrets force row level security;

create policy tenant_rw on weft.secrets to weft_app using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

create policy owner_maint on weft.secrets to weft_owner using (current_setting('app.maintenance', true) = 'on') with check (current_setting('app.maintenance', true) = 'on');

alter table weft.tenant_keys enable row level security;

alter table weft.tenant_keys force row level security;

create policy tenant_rw on weft.tenant_keys to weft_app using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

create policy owner_maint on weft.tenant_keys to weft_owner using (current_setting('app.maintenance', true) = 'on') with check (current_setting('app.maintenance', true) = 'on');

alter table weft.tenant_limits enable row level security;

alter table weft.tenant_limits force row level security;

create policy tenant_rw on weft.tenant_limits to weft_app using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

create policy owner_maint on weft.tenant_limits to weft_owner using (current_setting('app.maintenance', true) = 'on') with check (current_setting('app.maintenance', true) = 'on');

alter table weft.rate_limit_states enable row level security;

alter table weft.rate_limit_states force row level security;

create policy tenant_rw on weft.rate_limit_states to weft_app using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

create policy owner_maint on weft.rate_limit_states to weft_owner using (current_setting('app.maintenance', true) = 'on') with check (current_setting('app.maintenance', true) = 'on');

alter table weft.role_permissions enable row level security;

alter table weft.role_permissions force row level security;

create policy tenant_rw on weft.role_permissions to weft_app using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

create policy owner_maint on weft.role_permissions to weft_owner using (current_setting('app.maintenance', true) = 'on') with check (current_setting('app.maintenance', true) = 'on');

alter table weft.tenant_users enable row level security;

alter table weft.tenant_users force row level security;

create policy tenant_rw on weft.tenant_users to weft_app using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

create policy owner_maint on weft.tenant_users to weft_owner using (current_setting('app.maintenance', true) = 'on') with check (current_setting('app.maintenance', true) = 'on');

alter table weft.workflows enable row level security;

alter table weft.workflows force row level security;

create policy tenant_rw on weft.workflows to weft_app using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

create policy owner_maint on weft.workflows to weft_owner using (current_setting('app.maintenance', true) = 'on') with check (current_setting('app.maintenance', true) = 'on');

alter table weft.api_keys enable row level security;

alter table weft.api_keys force row level security;

create policy tenant_rw on weft.api_keys to weft_app using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

create policy owner_maint on weft.api_keys to weft_owner using (current_setting('app.maintenance', true) = 'on') with check (current_setting('app.maintenance', true) = 'on');

alter table weft.sessions enable row level security;

alter table weft.sessions force row level security;

create policy tenant_rw on weft.sessions to weft_app using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

create policy owner_maint on weft.sessions to weft_owner using (current_setting('app.maintenance', true) = 'on') with check (current_setting('app.maintenance', true) = 'on');

alter table weft.user_permissions enable row level security;

alter table weft.user_permissions force row level security;

create policy tenant_rw on weft.user_permissions to weft_app using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

create policy owner_maint on weft.user_permissions to weft_owner using (current_setting('app.maintenance', true) = 'on') with check (current_setting('app.maintenance', true) = 'on');

alter table weft.workflow_counters enable row level security;

alter table weft.workflow_counters force row level security;

create policy tenant_rw on weft.workflow_counters to weft_app using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

create policy owner_maint on weft.workflow_counters to weft_owner using (current_setting('app.maintenance', true) = 'on') with check (current_setting('app.maintenance', true) = 'on');

alter table weft.workflow_limits enable row level security;

alter table weft.workflow_limits force row level security;

create policy tenant_rw on weft.workflow_limits to weft_app using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

create policy owner_maint on weft.workflow_limits to weft_owner using (current_setting('app.maintenance', true) = 'on') with check (current_setting('app.maintenance', true) = 'on');

alter table weft.workflow_triggers enable row level security;

alter table weft.workflow_triggers force row level security;

create policy tenant_rw on weft.workflow_triggers to weft_app using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

create policy owner_maint on weft.workflow_triggers to weft_owner using (current_setting('app.maintenance', true) = 'on') with check (current_setting('app.maintenance', true) = 'on');

alter table weft.workflow_versions enable row level security;

alter table weft.workflow_versions force row level security;

create policy tenant_rw on weft.workflow_versions to weft_app using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

create policy owner_maint on weft.workflow_versions to weft_owner using (current_setting('app.maintenance', true) = 'on') with check (current_setting('app.maintenance', true) = 'on');

alter table weft.api_key_uses enable row level security;

alter table weft.api_key_uses force row level security;

create policy tenant_rw on weft.api_key_uses to weft_app using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

create policy owner_maint on weft.api_key_uses to weft_owner using (current_setting('app.maintenance', true) = 'on') with check (current_setting('app.maintenance', true) = 'on');

alter table weft.schedule_runs enable row level security;

alter table weft.schedule_runs force row level security;

create policy tenant_rw on weft.schedule_runs to weft_app using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

create policy owner_maint on weft.schedule_runs to weft_owner using (current_setting('app.maintenance', true) = 'on') with check (current_setting('app.maintenance', true) = 'on');

alter table weft.workflow_executions enable row level security;

alter table weft.workflow_executions force row level security;

create policy tenant_rw on weft.workflow_executions to weft_app using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

create policy owner_maint on weft.workflow_executions to weft_owner using (current_setting('app.maintenance', true) = 'on') with check (current_setting('app.maintenance', true) = 'on');

alter table weft.workflow_publications enable row level security;

alter table weft.workflow_publications force row level security;

create policy tenant_rw on weft.workflow_publications to weft_app using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

create policy owner_maint on weft.workflow_publications to weft_owner using (current_setting('app.maintenance', true) = 'on') with check (current_setting('app.maintenance', true) = 'on');

alter table weft.workflow_schedules enable row level security;

alter table weft.workflow_schedules force row level security;

create policy tenant_rw on weft.workflow_schedules to weft_app using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

create policy owner_maint on weft.workflow_schedules to weft_owner using (current_setting('app.maintenance', true) = 'on') with check (current_setting('app.maintenance', true) = 'on');

alter table weft.workflow_steps enable row level security;

alter table weft.workflow_steps force row level security;

create policy tenant_rw on weft.workflow_steps to weft_app using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

create policy owner_maint on weft.workflow_steps to weft_owner using (current_setting('app.maintenance', true) = 'on') with check (current_setting('app.maintenance', true) = 'on');

alter table weft.event_waits enable row level security;

alter table weft.event_waits force row level security;

create policy tenant_rw on weft.event_waits to weft_app using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

create policy owner_maint on weft.event_waits to weft_owner using (current_setting('app.maintenance', true) = 'on') with check (current_setting('app.maintenance', true) = 'on');

alter table weft.execution_logs enable row level security;

alter table weft.execution_logs force row level security;

create policy tenant_rw on weft.execution_logs to weft_app using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

create policy owner_maint on weft.execution_logs to weft_owner using (current_setting('app.maintenance', true) = 'on') with check (current_setting('app.maintenance', true) = 'on');

alter table weft.execution_places enable row level security;

alter table weft.execution_places force row level security;

create policy tenant_rw on weft.execution_places to weft_app using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

create policy owner_maint on weft.execution_places to weft_owner using (current_setting('app.maintenance', true) = 'on') with check (current_setting('app.maintenance', true) = 'on');

alter table weft.item_chunks enable row level security;

alter table weft.item_chunks force row level security;

create policy tenant_rw on weft.item_chunks to weft_app using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

create policy owner_maint on weft.item_chunks to weft_owner using (current_setting('app.maintenance', true) = 'on') with check (current_setting('app.maintenance', true) = 'on');

alter table weft.item_results enable row level security;

alter table weft.item_results force row level security;

create policy tenant_rw on weft.item_results to weft_app using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

create policy owner_maint on weft.item_results to weft_owner using (current_setting('app.maintenance', true) = 'on') with check (current_setting('app.maintenance', true) = 'on');

alter table weft.payloads enable row level security;

alter table weft.payloads force row level security;

create policy tenant_rw on weft.payloads to weft_app using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

create policy owner_maint on weft.payloads to weft_owner using (current_setting('app.maintenance', true) = 'on') with check (current_setting('app.maintenance', true) = 'on');

alter table weft.questions enable row level security;

alter table weft.questions force row level security;

create policy tenant_rw on weft.questions to weft_app using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

create policy owner_maint on weft.questions to weft_owner using (current_setting('app.maintenance', true) = 'on') with check (current_setting('app.maintenance', true) = 'on');

alter table weft.workflow_transitions enable row level security;

alter table weft.workflow_transitions force row level security;

create policy tenant_rw on weft.workflow_transitions to weft_app using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

create policy owner_maint on weft.workflow_transitions to weft_owner using (current_setting('app.maintenance', true) = 'on') with check (current_setting('app.maintenance', true) = 'on');

-- Keeps updated_at and, where the table has it, row_version. Nobody can forget to.
create function weft.touch() returns trigger
language plpgsql set search_path = pg_catalog as $$
begin
  new.updated_at := clock_timestamp();
  return new;
end $$;

create function weft.touch_versioned() returns trigger
language plpgsql set search_path = pg_catalog as $$
begin
  new.updated_at := clock_timestamp();
  new.row_version := old.row_version + 1;
  return new;
end $$;

-- The audit row trigger. tg_argv: resource type, comma-separated secret columns.
-- The resource type is an argument because on a distributed PostgreSQL tg_table_name is a shard.
create function weft.audit_row() returns trigger
language plpgsql security definer set search_path = pg_catalog as $$
declare
  old_row jsonb := case when tg_op <> 'INSERT' then to_jsonb(old) end;
  new_row jsonb := case when tg_op <> 'DELETE' then to_jsonb(new) end;
  one_row jsonb := coalesce(new_row, old_row);
  before_ jsonb;
  after_ jsonb;
  secret text;
  tenant uuid;
begin
  -- A restore brings the log of its rows along. Only the owner may say so, who could drop the trigger as well.
  if current_setting('app.restore', true) = 'on' and session_user = 'weft_owner' then
    return null;
  end if;
  if tg_op = 'UPDATE' then
    select jsonb_object_agg(o.key, o.value), jsonb_object_agg(o.key, new_row -> o.key)
      into before_, after_
      from jsonb_each(old_row) o
     where new_row -> o.key is distinct from o.value
       and o.key not in ('updated_at', 'row_version');
    if before_ is null then
      return null;
    end if;
  else
    before_ := old_row;
    after_ := new_row;
  end if;
  foreach secret in array string_to_array(tg_argv[1], ',') loop
    if before_ -> secret <> 'null' then
      before_ := before_ || jsonb_build_object(secret, '***');
    end if;
    if after_ -> secret <> 'null' then
      after_ := after_ || jsonb_build_object(secret, '***');
    end if;
  end loop;
  tenant := coalesce(
    (one_row ->> 'tenant_id')::uuid,
    case when tg_argv[0] = 'tenants' then (one_row ->> 'id')::uuid end,
    nullif(current_setting('app.tenant_id', true), '')::uuid,
    '00000000-0000-0000-0000-000000000000'
  );
  insert into weft.audit_logs
    (tenant_id, id, action, resource_type, resource_id, before, after,
     actor_id, actor_kind, actor_name, ip, user_agent, correlation_id)
  values
    (tenant, gen_random_uuid(), lower(tg_op), tg_argv[0], one_row ->> 'id', before_, after_,
     nullif(current_setting('app.actor_id', true), ''), nullif(current_setting('app.actor_kind', true), ''),
     nullif(current_setting('app.actor_name', true), ''), nullif(current_setting('app.ip', true), ''),
     nullif(current_setting('app.user_agent', true), ''), nullif(current_setting('app.correlation_id', true), ''));
  return null;
end $$;

-- What no row change shows: sign-ins, refusals, exports, commands on executions.
create function weft.audit_event(p_action text, p_resource_type text, p_resource_id text, p_details jsonb)
returns void language plpgsql security definer set search_path = pg_catalog as $$
declare
  tenant uuid := nullif(current_setting('app.tenant_id', true), '')::uuid;
begin
  if tenant is null then
    raise exception 'an audit event needs a tenant: set app.tenant_id first';
  end if;
  insert into weft.audit_logs
    (tenant_id, id, action, resource_type, resource_id, after,
     actor_id, actor_kind, actor_name, ip, user_agent, correlation_id)
  values
    (tenant, gen_random_uuid(), p_action, p_resource_type, p_resource_id, p_details,
     nullif(current_setting('app.actor_id', true), ''), nullif(current_setting('app.actor_kind', true), ''),
     nullif(current_setting('app.actor_name', true), ''), nullif(current_setting('app.ip', true), ''),
     nullif(current_setting('app.user_agent', true), ''), nullif(current_setting('app.correlation_id', true), ''));
end $$;

create function weft.audit_is_append_only() returns trigger
language plpgsql set search_path = pg_catalog as $$
begin
  raise exception 'the audit log is append-only: % is refused', tg_op
    using hint = 'Rows leave by dropping a whole month after it was exported.';
end $$;

-- Sign-in comes before any tenant is chosen. These few functions are the only way across tenants
-- for identities; they return ids and one hash, and are owned by a role that nobody can log in as.
create policy auth_all on weft.tenants to weft_auth using (true) with check (true);
create policy auth_all on weft.users to weft_auth using (true) with check (true);
create policy auth_read on weft.tenant_users for select to weft_auth using (true);
create policy auth_read on weft.roles for select to weft_auth using (true);
grant usage on schema weft to weft_auth;
grant select, insert on weft.tenants to weft_auth;
grant select, insert, update on weft.users to weft_auth;
grant select on weft.tenant_users to weft_auth;
grant select on weft.roles to weft_auth;

create function weft.find_user(p_email_key text)
returns table (id uuid, email text, name text, password_hash text)
language sql stable security definer set search_path = pg_catalog as $$
  select u.id, u.email, u.name, u.password_hash
    from weft.users u
   where u.email_key = p_email_key and u.deleted_at is null
$$;

create function weft.memberships_of(p_user_id uuid)
returns table (tenant_id uuid, slug text, tenant_name text, role text, status text, created_at timestamptz)
language sql stable security definer set search_path = pg_catalog as $$
  select m.tenant_id, t.slug, t.name, r.name, m.status, m.created_at
    from weft.tenant_users m
    join weft.tenants t on t.id = m.tenant_id and t.deleted_at is null
    join weft.roles r on r.tenant_id = m.tenant_id and r.id = m.role_id
   where m.user_id = p_user_id
   order by m.created_at, m.tenant_id
$$;

create function weft.find_tenant(p_slug text) returns uuid
language sql stable security definer set search_path = pg_catalog as $$
  select t.id from weft.tenants t where t.slug = p_slug and t.deleted_at is null
$$;

create function weft.create_tenant(p_id uuid, p_slug text, p_name text, p_tier text) returns void
language sql security definer set search_path = pg_catalog as $$
  insert into weft.tenants (id, slug, name, tier) values (p_id, p_slug, p_name, p_tier)
$$;

-- The user's id: a new one, or the one that this address already has (then name and password stay).
create function weft.ensure_user(p_id uuid, p_email text, p_email_key text, p_name text, p_password_hash text)
returns uuid language plpgsql security definer set search_path = pg_catalog as $$
declare
  found_id uuid;
begin
  insert into weft.users (id, email, email_key, name, password_hash)
  values (p_id, p_email, p_email_key, p_name, p_password_hash)
  on conflict (email_key) where deleted_at is null do nothing
  returning users.id into found_id;
  if found_id is null then
    select u.id into found_id from weft.users u where u.email_key = p_email_key and u.deleted_at is null;
  end if;
  return found_id;
end $$;

create function weft.set_password(p_user_id uuid, p_password_hash text) returns boolean
language sql security definer set search_path = pg_catalog as $$
  update weft.users set password_hash = p_password_hash where id = p_user_id and deleted_at is null
  returning true
$$;

create function weft.mark_sign_in(p_user_id uuid) returns void
language sql security definer set search_path = pg_catalog as $$
  update weft.users set last_sign_in_at = clock_timestamp() where id = p_user_id
$$;

-- Claims go across tenants, therefore they are definer functions: the application role itself sees one
-- tenant's jobs at a time. They return ids; the work is done in the tenant's own transaction.
create policy dispatch_all on weft.dispatch_jobs to weft_dispatch using (true) with check (true);
grant usage on schema weft to weft_dispatch;
grant select, update on weft.dispatch_jobs to weft_dispatch;
create policy dispatch_all on weft.dispatch_limits to weft_dispatch using (true) with check (true);
grant select, update on weft.dispatch_limits to weft_dispatch;
create policy dispatch_counts on weft.dispatch_dead for select to weft_dispatch using (true);
grant select on weft.dispatch_dead to weft_dispatch;

-- Takes up to p_limit ready jobs, visiting the tenants that have any in the order of their ids, from
-- p_after on and then from the beginning, at most p_quantum from each in the first round: a tenant with
-- 100,000 jobs costs another tenant's first job one round, not 100,000 turns. A tenant's weight multiplies its
-- part of the first round. Whoever has as many jobs in hand as it may is left alone; the lock on its limit makes that
-- hold for all workers, and it is never waited for: another worker is claiming from this tenant just now.
-- Tenants in p_but are passed over: few, for each costs a probe.
create function weft.claim_jobs(
  p_owner text, p_limit integer, p_quantum integer, p_after uuid, p_lease interval, p_but uuid[])
returns table (tenant_id uuid, id uuid, kind text, execution_id uuid, visit integer, attempt integer,
               detail jsonb, epoch integer, claims integer, run_at timestamptz, lapses smallint, limits integer)
language plpgsql security definer set search_path = pg_catalog as $$
#variable_conflict use_column
declare
  limit_ weft.dispatch_limits%rowtype;
  room integer;
  cursor_ uuid := p_after;
  start_ uuid := p_after;
  found_ uuid;
  wrapped boolean := false;
  round_ integer := 0;
  taken integer := 0;
  in_round integer := 0;
  n integer;
  quantum integer := p_quantum;
begin
  loop
    select j.tenant_id into found_ from weft.dispatch_jobs j
     where j.state = 'ready' and j.tenant_id > cursor_ order by j.tenant_id limit 1;
    if found_ is null or (wrapped and found_ > start_) then
      if not wrapped and start_ > '00000000-0000-0000-0000-000000000000' then
        wrapped := true;
        cursor_ := '00000000-0000-0000-0000-000000000000';
        continue;
      end if;
      -- Everybody had a turn. Whoever has more may use what is left.
      exit when in_round = 0 or round_ > 0;
      round_ := round_ + 1;
      in_round := 0;
      wrapped := false;
      cursor_ := start_;
      quantum := p_limit;
      continue;
    end if;
    cursor_ := found_;
    continue when found_ = any(p_but);
    room := p_limit - taken;
    select * into limit_ from weft.dispatch_limits l where l.tenant_id = found_;
    if limit_.concurrent_jobs is not null then
      perform 1 from weft.dispatch_limits l where l.tenant_id = found_ for update skip locked;
      continue when not found;
      room := least(room, limit_.concurrent_jobs - (
        select count(*) from weft.dispatch_jobs j where j.tenant_id = found_ and j.state = 'leased' and j.capped));
      continue when room <= 0;
    end if;
    return query
      with picked as (
        select j.tenant_id, j.id from weft.dispatch_jobs j
         where j.tenant_id = found_ and j.state = 'ready'
         order by j.priority desc, j.run_at, j.id
         limit least(quantum * coalesce(limit_.weight, 1), room)
         for update skip locked
      )
      update weft.dispatch_jobs j
         set state = 'leased', lease_owner = p_owner, lease_until = clock_timestamp() + p_lease,
             epoch = j.epoch + 1, claims = j.claims + 1, capped = limit_.concurrent_jobs is not null
        from picked p
       where j.tenant_id = p.tenant_id and j.id = p.id
      returning j.tenant_id, j.id, j.kind, j.execution_id, j.visit, j.attempt, j.detail, j.epoch,
                j.claims, j.run_at, j.lapses, coalesce(limit_.version, 0);
    get diagnostics n = row_count;
    taken := taken + n;
    in_round := in_round + n;
    exit when taken >= p_limit;
  end loop;
end $$;

-- The suspect that has waited longest, to be tried by a worker that has nothing else in hand.
create function weft.claim_suspect(p_owner text, p_lease interval)
returns table (tenant_id uuid, id uuid, kind text, execution_id uuid, visit integer, attempt integer,
               detail jsonb, epoch integer, claims integer, run_at timestamptz, lapses smallint, limits integer)
language sql security definer set search_path = pg_catalog as $$
  with picked as (
    select j.tenant_id, j.id from weft.dispatch_jobs j
     where j.state = 'suspect' order by j.run_at limit 1 for update skip locked
  )
  update weft.dispatch_jobs j
     set state = 'leased', lease_owner = p_owner, lease_until = clock_timestamp() + p_lease,
         epoch = j.epoch + 1, claims = j.claims + 1, capped = false
    from picked p
   where j.tenant_id = p.tenant_id and j.id = p.id
  returning j.tenant_id, j.id, j.kind, j.execution_id, j.visit, j.attempt, j.detail, j.epoch, j.claims, j.run_at,
            j.lapses,
            coalesce((select l.version from weft.dispatch_limits l where l.tenant_id = j.tenant_id), 0)
$$;

-- Timers that are due become ready; leases that lapsed are given back, those that lapsed p_most_lapses times as
-- suspects. Returns what was moved, when the next timer is due, and whether there are suspects.
create function weft.promote_jobs(p_now timestamptz, p_limit integer, p_most_lapses integer)
returns table (promoted integer, recovered integer, next_due timestamptz, suspects boolean)
language plpgsql security definer set search_path = pg_catalog as $$
begin
  with due as (
    select j.tenant_id, j.id from weft.dispatch_jobs j
     where j.state = 'scheduled' and j.run_at <= p_now
     order by j.run_at limit p_limit for update skip locked
  )
  update weft.dispatch_jobs j set state = 'ready'
    from due where j.tenant_id = due.tenant_id and j.id = due.id;
  get diagnostics promoted = row_count;
  with lapsed as (
    select j.tenant_id, j.id from weft.dispatch_jobs j
     where j.state = 'leased' and j.lease_until < clock_timestamp()
     order by j.lease_until limit p_limit for update skip locked
  )
  update weft.dispatch_jobs j
     set state = case when j.lapses + 1 >= p_most_lapses then 'suspect' else 'ready' end, lapses = j.lapses + 1,
         lease_owner = null, lease_until = null
    from lapsed where j.tenant_id = lapsed.tenant_id and j.id = lapsed.id;
  get diagnostics recovered = row_count;
  select min(j.run_at) into next_due from weft.dispatch_jobs j where j.state = 'scheduled';
  suspects := exists (select from weft.dispatch_jobs j where j.state = 'suspect');
  return next;
end $$;

-- The heartbeat: which of these leases are still ours, prolonged.
create function weft.extend_leases(p_owner text, p_ids uuid[], p_epochs integer[], p_lease interval)
returns setof uuid language sql security definer set search_path = pg_catalog as $$
  update weft.dispatch_jobs j set lease_until = clock_timestamp() + p_lease
    from unnest(p_ids, p_epochs) as held (id, epoch)
   where j.id = held.id and j.epoch = held.epoch and j.state = 'leased' and j.lease_owner = p_owner
  returning j.id
$$;

-- Gives jobs back unharmed (a graceful stop): the claim is not counted. Suspects stay suspects.
create function weft.release_jobs(p_owner text, p_ids uuid[], p_epochs integer[], p_most_lapses integer)
returns integer language plpgsql security definer set search_path = pg_catalog as $$
declare
  n integer;
begin
  update weft.dispatch_jobs j
     set state = case when j.lapses >= p_most_lapses then 'suspect' else 'ready' end,
         lease_owner = null, lease_until = null, claims = j.claims - 1
    from unnest(p_ids, p_epochs) as held (id, epoch)
   where j.id = held.id and j.epoch = held.epoch and j.state = 'leased' and j.lease_owner = p_owner;
  get diagnostics n = row_count;
  return n;
end $$;

-- For metrics: how much waits, and since when; how much is dead, counted up to 10,000. Counts only.
create function weft.queue_depth()
returns table (state text, jobs bigint, oldest timestamptz)
language sql stable security definer set search_path = pg_catalog as $$
  select j.state, count(*), min(j.run_at) from weft.dispatch_jobs j group by j.state
  union all
  select 'dead', count(*), min(d.died_at)
    from (select died_at from weft.dispatch_dead limit 10000) d having count(*) > 0
$$;

-- Events are kept for a time. Going across tenants, and by age alone, this is a definer function; it says only how many.
create policy dispatch_events on weft.events to weft_dispatch using (true) with check (true);
grant select, delete on weft.events to weft_dispatch;

create function weft.prune_events(p_before timestamptz, p_limit integer) returns integer
language plpgsql security definer set search_path = pg_catalog as $$
declare
  n integer;
begin
  with old as (
    select e.tenant_id, e.id from weft.events e
     where e.received_at < p_before
     order by e.received_at limit p_limit
  )
  delete from weft.events e using old where e.tenant_id = old.tenant_id and e.id = old.id;
  get diagnostics n = row_count;
  return n;
end $$;

-- Places of limited executions. They run as the caller, inside the tenant's row security. Whoever gives or takes a
-- place locks the tenant's limit first, then those of the workflows in the order of their ids; so nobody waits in a
-- circle, and two processes never count the same free place. Nothing here runs for executions without a limit.
create function weft.lock_limits(p_tenant uuid, p_workflows uuid[]) returns void
language plpgsql security invoker set search_path = pg_catalog as $$
begin
  perform 1 from weft.tenant_limits t where t.tenant_id = p_tenant for update;
  perform 1 from weft.workflow_limits w
    where w.tenant_id = p_tenant and w.workflow_id = any(p_workflows) order by w.workflow_id for update;
end $$;

-- Gives what is free in these scopes (a workflow and a value of its key), most urgent first, then the oldest; then
-- what is free in the tenant. Jobs of those that may run now become ready. Reads as many rows as places are in use
-- and given, never the whole queue. At most 10,000 at once. The caller holds the locks.
create function weft.admit(p_tenant uuid, p_workflows uuid[], p_keys text[]) returns integer
language plpgsql security invoker set search_path = pg_catalog as $$
declare
  most integer;
  free integer := 10000;
  admitted uuid[];
begin
  with scopes as (
    select distinct s.workflow_id, s.key from unnest(p_workflows, p_keys) as s (workflow_id, key)
  ),
  room as (
    select s.workflow_id, s.key,
           case when w.concurrent is null then 10000
                else w.concurrent - (select count(*) from weft.execution_places p
                                      where p.tenant_id = p_tenant and p.workflow_id = s.workflow_id
                                        and p.key = s.key and p.state in ('placed', 'held')) end as places
      from scopes s
      left join weft.workflow_limits w on w.tenant_id = p_tenant and w.workflow_id = s.workflow_id
  ),
  chosen as (
    select c.execution_id
      from room r
     cross join lateral (
           select p.execution_id from weft.execution_places p
            where p.tenant_id = p_tenant and p.workflow_id = r.workflow_id and p.key = r.key and p.state = 'waiting'
            order by p.priority desc, p.since, p.execution_id
            limit greatest(r.places, 0)) c
  )
  update weft.execution_places p set state = 'placed'
    from chosen c where p.tenant_id = p_tenant and p.execution_id = c.execution_id;

  select t.concurrent_executions into most from weft.tenant_limits t where t.tenant_id = p_tenant;
  if most is not null then
    free := most - (select count(*) from weft.execution_places p
                     where p.tenant_id = p_tenant and p.state = 'held' and p.tenant_wide);
  end if;
  with chosen as (
    (select p.execution_id from weft.execution_places p
      where p.tenant_id = p_tenant and p.state = 'placed' and not p.tenant_wide limit 10000)
    union all
    (select p.execution_id from weft.execution_places p
      where p.tenant_id = p_tenant and p.state = 'placed' and p.tenant_wide
      order by p.priority desc, p.since, p.execution_id
      limit greatest(free, 0))
  ),
  moved as (
    update weft.execution_places p set state = 'held'
      from chosen c where p.tenant_id = p_tenant and p.execution_id = c.execution_id
    returning p.execution_id
  )
  select coalesce(array_agg(m.execution_id), '{}') into admitted from moved m;
  if cardinality(admitted) > 0 then
    update weft.dispatch_jobs j set state = 'ready'
     where j.tenant_id = p_tenant and j.execution_id = any(admitted) and j.state = 'parked';
    perform pg_notify('weft_jobs', 'job');
  end if;
  return cardinality(admitted);
end $$;

-- New executions, or retried ones, ask for a place. The caller has saved them with parked jobs.
create function weft.take_places(
  p_tenant uuid, p_executions uuid[], p_workflows uuid[], p_keys text[], p_wide boolean[], p_priorities integer[])
returns integer
language plpgsql security invoker set search_path = pg_catalog as $$
begin
  perform weft.lock_limits(p_tenant, p_workflows);
  insert into weft.execution_places (tenant_id, execution_id, workflow_id, key, tenant_wide, priority)
  select p_tenant, n.execution_id, n.workflow_id, n.key, n.wide, n.priority
    from unnest(p_executions, p_workflows, p_keys, p_wide, p_priorities) with ordinality
         as n (execution_id, workflow_id, key, wide, priority, place)
   order by n.place
  on conflict do nothing;
  return weft.admit(p_tenant, p_workflows, p_keys);
end $$;

-- Executions have ended: their places are free for the next ones.
create function weft.free_places(p_tenant uuid, p_executions uuid[], p_workflows uuid[]) returns integer
language plpgsql security invoker set search_path = pg_catalog as $$
declare
  workflows uuid[];
  keys text[];
begin
  perform weft.lock_limits(p_tenant, p_workflows);
  with freed as (
    delete from weft.execution_places p
     where p.tenant_id = p_tenant and p.execution_id = any(p_executions)
    returning p.workflow_id, p.key
  )
  select coalesce(array_agg(f.workflow_id), '{}'), coalesce(array_agg(f.key), '{}') into workflows, keys from freed f;
  delete from weft.dispatch_jobs j
   where j.tenant_id = p_tenant and j.execution_id = any(p_executions) and j.state = 'parked';
  return weft.admit(p_tenant, workflows, keys);
end $$;

-- For the chore: places whose execution is over and has no job that would go on with it are freed, and whatever
-- waits beside a free place gets it. Returns how many places were wrong.
create function weft.sweep_places(p_tenant uuid) returns integer
language plpgsql security invoker set search_path = pg_catalog as $$
declare
  wrong uuid[];
  workflows uuid[];
  keys text[];
begin
  perform weft.lock_limits(p_tenant, array(
    select distinct p.workflow_id from weft.execution_places p where p.tenant_id = p_tenant));
  select coalesce(array_agg(p.execution_id), '{}') into wrong
    from weft.execution_places p
    join weft.workflow_executions e on e.tenant_id = p.tenant_id and e.id = p.execution_id
   where p.tenant_id = p_tenant and e.status in ('COMPLETED', 'FAILED', 'CANCELLED')
     and not exists (select from weft.dispatch_jobs j
                      where j.tenant_id = p_tenant and j.execution_id = p.execution_id and j.kind = 'retry');
  delete from weft.execution_places p where p.tenant_id = p_tenant and p.execution_id = any(wrong);
  select coalesce(array_agg(s.workflow_id), '{}'), coalesce(array_agg(s.key), '{}') into workflows, keys
    from (select distinct p.workflow_id, p.key from weft.execution_places p
           where p.tenant_id = p_tenant and p.state = 'waiting') s;
  perform weft.admit(p_tenant, workflows, keys);
  return cardinality(wrong);
end $$;

-- For the chore: which tenants have any. Ids only.
create policy dispatch_reads on weft.execution_places for select to weft_dispatch using (true);
grant select on weft.execution_places to weft_dispatch;
create function weft.tenants_with_places() returns setof uuid
language sql stable security definer set search_path = pg_catalog as $$
  with recursive t as (
    (select p.tenant_id from weft.execution_places p order by p.tenant_id limit 1)
    union all
    select (select p.tenant_id from weft.execution_places p where p.tenant_id > t.tenant_id
             order by p.tenant_id limit 1)
      from t where t.tenant_id is not null
  )
  select t.tenant_id from t where t.tenant_id is not null
$$;

-- Monthly partitions of the journal and the audit log. Each gets forced row security, no grant, and no policy but the
-- owner's for maintenance: reached directly it shows nothing to the application, and a dump by the owner, which reads
-- partitions one by one, is whole.
create function weft.ensure_partition(p_parent text, p_month date) returns boolean
language plpgsql set search_path = pg_catalog as $$
declare
  first_day date := date_trunc('month', p_month)::date;
  name text := p_parent || '_' || to_char(first_day, 'YYYYMM');
begin
  if p_parent not in ('execution_logs', 'audit_logs') then
    raise exception '% has no months', p_parent;
  end if;
  if to_regclass('weft.' || name) is not null then
    return false;
  end if;
  execute format(
    'create table weft.%I partition of weft.%I for values from (%L) to (%L)',
    name, p_parent,
    to_char(first_day, 'YYYY-MM-DD') || ' 00:00:00+00',
    to_char(first_day + interval '1 month', 'YYYY-MM-DD') || ' 00:00:00+00');
  execute format('alter table weft.%I enable row level security', name);
  execute format('alter table weft.%I force row level security', name);
  execute format(
    'create policy owner_maint on weft.%1$I to weft_owner using (%2$s) with check (%2$s)', name,
    'current_setting(''app.maintenance'', true) = ''on''');
  return true;
end $$;

-- From last month to p_ahead months ahead; how many were made.
create function weft.ensure_partitions(p_ahead integer) returns integer
language plpgsql security definer set search_path = pg_catalog as $$
declare
  parent text;
  made integer := 0;
begin
  if p_ahead not between 0 and 24 then
    raise exception 'partitions can be made 0 to 24 months ahead, not %', p_ahead;
  end if;
  foreach parent in array array['execution_logs', 'audit_logs'] loop
    for i in -1 .. p_ahead loop
      made := made + weft.ensure_partition(
        parent, (date_trunc('month', now() at time zone 'utc') + make_interval(months => i))::date)::integer;
    end loop;
  end loop;
  return made;
end $$;

-- Schedules of all tenants are due at the same moments, therefore they are claimed across tenants; only ids are
-- returned, and the work is done in each tenant's own transaction.
create policy dispatch_all on weft.workflow_schedules to weft_dispatch using (true) with check (true);
create policy dispatch_all on weft.schedule_runs to weft_dispatch using (true) with check (true);
grant select, update on weft.workflow_schedules to weft_dispatch;
grant select, delete on weft.schedule_runs to weft_dispatch;

-- Takes schedules that have to be looked at. Whoever takes one has it until the lease is over, or until the trigger
-- is changed: both begin another epoch, and nothing is written under an old one.
create function weft.claim_schedules(p_now timestamptz, p_limit integer, p_lease interval)
returns table (tenant_id uuid, trigger_id uuid, epoch integer)
language sql security definer set search_path = pg_catalog as $$
  with due as (
    select s.tenant_id, s.trigger_id from weft.workflow_schedules s
     where s.wake_at <= p_now
     order by s.wake_at limit p_limit for update skip locked
  )
  update weft.workflow_schedules s set wake_at = p_now + p_lease, epoch = s.epoch + 1
    from due where s.tenant_id = due.tenant_id and s.trigger_id = due.trigger_id
  returning s.tenant_id, s.trigger_id, s.epoch
$$;

-- When the next schedule has to be looked at; null: there is none.
create function weft.next_schedule() returns timestamptz
language sql stable security definer set search_path = pg_catalog as $$
  select min(s.wake_at) from weft.workflow_schedules s where s.wake_at is not null
$$;

-- Forgets runs that were decided long ago and are over, some at a time.
create function weft.prune_schedule_runs(p_before timestamptz, p_limit integer) returns integer
language plpgsql security definer set search_path = pg_catalog as $$
declare
  n integer;
begin
  with old as (
    select r.tenant_id, r.id from weft.schedule_runs r
     where r.decided_at < p_before and not r.open
     order by r.decided_at limit p_limit
  )
  delete from weft.schedule_runs r using old where r.tenant_id = old.tenant_id and r.id = old.id;
  get diagnostics n = row_count;
  return n;
end $$;

-- Payloads are compressed before they come: PostgreSQL stores them as they are, and out of line.
alter table weft.payloads alter column data set storage external;

-- Whoever deletes payloads (with their execution, or one by one) gives their room back to the tenant.
create function weft.payloads_gone() returns trigger
language plpgsql set search_path = pg_catalog as $$
declare
  g record;
begin
  -- Read first, then written: a distributed PostgreSQL cannot join what is gone with a table.
  for g in
    select tenant_id, count(*) as payloads, sum(size) as size, sum(stored_size) as stored_size
      from gone group by tenant_id
  loop
    update weft.payload_usage u
       set payloads = u.payloads - g.payloads, size = u.size - g.size, stored_size = u.stored_size - g.stored_size
     where u.tenant_id = g.tenant_id;
  end loop;
  return null;
end $$;

create trigger gone after delete on weft.payloads
  referencing old table as gone for each statement execute function weft.payloads_gone();

-- Retention deletes within the tenant of its transaction, like everybody else.
create policy retention_rw on weft.payload_usage to weft_retention
  using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)
  with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
grant select, update on weft.payload_usage to weft_retention;

-- Processes say that they live. They belong to no tenant, so these functions are the only way to write here; whoever
-- has not been heard of for ten minutes is forgotten.
create policy dispatch_all on weft.app_instances to weft_dispatch using (true) with check (true);
grant select, insert, update, delete on weft.app_instances to weft_dispatch;

create function weft.beat(p_id uuid, p_kind text, p_host text, p_version text, p_revision text) returns void
language sql security definer set search_path = pg_catalog as $$
  insert into weft.app_instances (id, kind, host, version, revision)
  values (p_id, p_kind, p_host, p_version, p_revision)
  on conflict (id) do update set seen_at = clock_timestamp();
  delete from weft.app_instances where seen_at < clock_timestamp() - interval '10 minutes'
$$;

create function weft.leave(p_id uuid) returns void
language sql security definer set search_path = pg_catalog as $$
  delete from weft.app_instances where id = p_id
$$;

-- What the database is for, as the strictest of all that serve or migrate it say. Never milder: whoever forgets a
-- setting must not be able to empty a production database. Only the owner, by hand on the row, makes it milder.
create policy dispatch_all on weft.installation to weft_dispatch using (true) with check (true);
grant select, insert, update on weft.installation to weft_dispatch;

create function weft.serve_as(p_profile text) returns text
language sql security definer set search_path = pg_catalog as $$
  insert into weft.installation as i (profile) values (p_profile)
  on conflict (is_only) do update set profile = excluded.profile, since = clock_timestamp()
   where array_position(array['development', 'staging', 'production'], excluded.profile)
       > array_position(array['development', 'staging', 'production'], i.profile);
  select i.profile from weft.installation i
$$;

create policy audit_insert on weft.audit_logs for insert to weft_audit with check (true);

grant usage on schema weft to weft_audit;

grant insert on weft.audit_logs to weft_audit;

create policy retention_rw on weft.workflow_executions to weft_retention using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

grant select, delete on weft.workflow_executions to weft_retention;

create policy retention_rw on weft.event_waits to weft_retention using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

grant select, delete on weft.event_waits to weft_retention;

create policy retention_rw on weft.execution_logs to weft_retention using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

grant select, delete on weft.execution_logs to weft_retention;

create policy retention_rw on weft.execution_places to weft_retention using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

grant select, delete on weft.execution_places to weft_retention;

create policy retention_rw on weft.item_chunks to weft_retention using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

grant select, delete on weft.item_chunks to weft_retention;

create policy retention_rw on weft.item_results to weft_retention using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

grant select, delete on weft.item_results to weft_retention;

create policy retention_rw on weft.payloads to weft_retention using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

grant select, delete on weft.payloads to weft_retention;

create policy retention_rw on weft.questions to weft_retention using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid) with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);

grant select, delete on weft.questions to weft_retention;

grant update (journal_gone, row_version) on weft.workflow_executions to weft_retention;

-- Finished executions go when their time is over. The application has no right to delete them; these functions have,
-- and row security binds their owner to the tenant of the transaction, like everybody else.
grant usage on schema weft to weft_retention;

-- Deletes these executions with everything that belongs to them: all of them or, with an error, none. Each must have
-- ended and must still be at the row version that the caller has seen (and archived).
create function weft.delete_executions(p_ids uuid[], p_versions integer[])
returns table (executions integer, belongings integer)
language plpgsql security definer set search_path = pg_catalog as $$
declare
  tenant uuid := nullif(current_setting('app.tenant_id', true), '')::uuid;
  n integer;
begin
  if tenant is null then
    raise exception 'executions are deleted in a tenant: set app.tenant_id first';
  end if;
  belongings := 0;
  delete from weft.event_waits b where b.tenant_id = tenant and b.execution_id = any(p_ids);
  get diagnostics n = row_count;
  belongings := belongings + n;
  delete from weft.execution_logs b where b.tenant_id = tenant and b.execution_id = any(p_ids);
  get diagnostics n = row_count;
  belongings := belongings + n;
  delete from weft.execution_places b where b.tenant_id = tenant and b.execution_id = any(p_ids);
  get diagnostics n = row_count;
  belongings := belongings + n;
  delete from weft.item_chunks b where b.tenant_id = tenant and b.execution_id = any(p_ids);
  get diagnostics n = row_count;
  belongings := belongings + n;
  delete from weft.item_results b where b.tenant_id = tenant and b.execution_id = any(p_ids);
  get diagnostics n = row_count;
  belongings := belongings + n;
  delete from weft.payloads b where b.tenant_id = tenant and b.execution_id = any(p_ids);
  get diagnostics n = row_count;
  belongings := belongings + n;
  delete from weft.questions b where b.tenant_id = tenant and b.execution_id = any(p_ids);
  get diagnostics n = row_count;
  belongings := belongings + n;
  delete from weft.workflow_executions e
   using unnest(p_ids, p_versions) as wanted (id, version)
   where e.tenant_id = tenant and e.id = wanted.id and e.row_version = wanted.version
     and e.status in ('COMPLETED', 'FAILED', 'CANCELLED');
  get diagnostics executions = row_count;
  if executions <> cardinality(p_ids) then
    raise exception 'some of these executions have changed or have not ended: nothing was deleted'
      using errcode = 'serialization_failure';
  end if;
  return next;
end $$;

-- Deletes the journals of these executions, and the large values that only the journal names: all of them or, with an
-- error, none. The executions stay, and say so. Each must have ended and must still be at the row version that was seen.
create function weft.delete_journals(p_ids uuid[], p_versions integer[])
returns table (executions integer, belongings integer)
language plpgsql security definer set search_path = pg_catalog as $$
declare
  tenant uuid := nullif(current_setting('app.tenant_id', true), '')::uuid;
  n integer;
begin
  if tenant is null then
    raise exception 'journals are deleted in a tenant: set app.tenant_id first';
  end if;
  update weft.workflow_executions e set journal_gone = true, row_version = e.row_version + 1
    from unnest(p_ids, p_versions) as wanted (id, version)
   where e.tenant_id = tenant and e.id = wanted.id and e.row_version = wanted.version
     and e.status in ('COMPLETED', 'FAILED', 'CANCELLED');
  get diagnostics executions = row_count;
  if executions <> cardinality(p_ids) then
    raise exception 'some of these executions have changed or have not ended: nothing was deleted'
      using errcode = 'serialization_failure';
  end if;
  delete from weft.execution_logs l where l.tenant_id = tenant and l.execution_id = any(p_ids);
  get diagnostics belongings = row_count;
  delete from weft.item_chunks c where c.tenant_id = tenant and c.execution_id = any(p_ids);
  get diagnostics n = row_count;
  belongings := belongings + n;
  delete from weft.item_results r where r.tenant_id = tenant and r.execution_id = any(p_ids);
  get diagnostics n = row_count;
  belongings := belongings + n;
  delete from weft.payloads p using weft.workflow_executions e
   where p.tenant_id = tenant and p.execution_id = any(p_ids) and e.tenant_id = tenant and e.id = p.execution_id
     and p.id::text is distinct from e.input ->> '$payload' and p.id::text is distinct from e.output ->> '$payload';
  get diagnostics n = row_count;
  belongings := belongings + n;
  return next;
end $$;

-- Whose executions have to be looked through. Ids and policies only.
create function weft.retention_tenants() returns table (tenant_id uuid, slug text, retention jsonb)
language sql stable security definer set search_path = pg_catalog as $$
  select t.id, t.slug, t.retention from weft.tenants t where t.deleted_at is null order by t.id
$$;

-- Drops the journal's months before p_before that hold no row any more, and names them. A month with a row stays,
-- whoever asks; so do this month and the last, which ensure_partitions would make again.
create function weft.drop_empty_partitions(p_before date) returns setof text
language plpgsql security definer
set search_path = pg_catalog set lock_timeout = '500ms' as $$
declare
  found_ record;
  first_ timestamptz;
  until_ timestamptz;
  newest timestamptz := date_trunc('month', now() at time zone 'utc') at time zone 'utc' - interval '1 month';
begin
  -- The owner sees the rows of all tenants, for as long as this takes. A distributed PostgreSQL hands on SET LOCAL only.
  set local app.maintenance = 'on';
  for found_ in
    select c.relname::text as name from pg_inherits i join pg_class c on c.oid = i.inhrelid
     where i.inhparent = 'weft.execution_logs'::regclass order by c.relname
  loop
    first_ := to_date(right(found_.name, 6), 'YYYYMM')::timestamp at time zone 'utc';
    until_ := (to_date(right(found_.name, 6), 'YYYYMM') + interval '1 month') at time zone 'utc';
    continue when until_ > least(p_before::timestamp at time zone 'utc', newest)
      or exists (select from weft.execution_logs l where l.started_at >= first_ and l.started_at < until_);
    begin
      lock table only weft.execution_logs in access exclusive mode; -- first, in the order in which readers take them
      execute format('lock table weft.%I in access exclusive mode', found_.name);
      continue when exists (select from weft.execution_logs l where l.started_at >= first_ and l.started_at < until_);
      execute format('alter table weft.execution_logs detach partition weft.%I', found_.name);
      execute format('drop table weft.%I', found_.name);
      return next found_.name;
    exception when lock_not_available or deadlock_detected or undefined_table then
      null; -- traffic goes first; the next round tries again
    end;
  end loop;
  set local app.maintenance = '';
end $$;

create trigger append_only_row before update or delete on weft.audit_logs for each row execute function weft.audit_is_append_only();

create trigger append_only_statement before truncate on weft.audit_logs for each statement execute function weft.audit_is_append_only();

create trigger touch before update on weft.tenants for each row execute function weft.touch_versioned();

create trigger audit after insert or update or delete on weft.tenants for each row execute function weft.audit_row('tenants', '');

create trigger touch before update on weft.users for each row execute function weft.touch_versioned();

create trigger audit after insert or update or delete on weft.users for each row execute function weft.audit_row('users', 'password_hash');

create trigger audit after insert or update or delete on weft.archives for each row execute function weft.audit_row('archives', '');

create trigger touch before update on weft.clients for each row execute function weft.touch_versioned();

create trigger audit after insert or update or delete on weft.clients for each row execute function weft.audit_row('clients', '');

create trigger audit after insert or update or delete on weft.message_templates for each row execute function weft.audit_row('message_templates', '');

create trigger touch before update on weft.rate_limits for each row execute function weft.touch_versioned();

create trigger audit after insert or update or delete on weft.rate_limits for each row execute function weft.audit_row('rate_limits', '');

create trigger touch before update on weft.roles for each row execute function weft.touch_versioned();

create trigger audit after insert or update or delete on weft.roles for each row execute function weft.audit_row('roles', '');

create trigger touch before update on weft.secrets for each row execute function weft.touch_versioned();

create trigger audit after insert or update or delete on weft.secrets for each row execute function weft.audit_row('secrets', 'value');

create trigger touch before update on weft.tenant_keys for each row execute function weft.touch();

create trigger audit after insert or update or delete on weft.tenant_keys for each row execute function weft.audit_row('tenant_keys', 'wrapped');

create trigger touch before update on weft.role_permissions for each row execute function weft.touch();

create trigger audit after insert or update or delete on weft.role_permissions for each row execute function weft.audit_row('role_permissions', '');

create trigger touch before update on weft.tenant_users for each row execute function weft.touch_versioned();

create trigger audit after insert or update or delete on weft.tenant_users for each row execute function weft.audit_row('tenant_users', '');

create trigger touch before update on weft.workflows for each row execute function weft.touch_versioned();

create trigger audit after insert or update or delete on weft.workflows for each row execute function weft.audit_row('workflows', '');

create trigger touch before update on weft.api_keys for each row execute function weft.touch_versioned();

create trigger audit after insert or update or delete on weft.api_keys for each row execute function weft.audit_row('api_keys', 'secret_hash');

create trigger touch before update on weft.sessions for each row execute function weft.touch();

create trigger audit after insert or update or delete on weft.sessions for each row execute function weft.audit_row('sessions', 'secret_hash');

create trigger touch before update on weft.user_permissions for each row execute function weft.touch();

create trigger audit after insert or update or delete on weft.user_permissions for each row execute function weft.audit_row('user_permissions', '');

create trigger touch before update on weft.workflow_limits for each row execute function weft.touch_versioned();

create trigger audit after insert or update or delete on weft.workflow_limits for each row execute function weft.audit_row('workflow_limits', '');

create trigger touch before update on weft.workflow_triggers for each row execute function weft.touch_versioned();

create trigger audit after insert or update or delete on weft.workflow_triggers for each row execute function weft.audit_row('workflow_triggers', 'token_hash,secret,previous_token_hash,previous_secret');

create trigger audit after insert or update or delete on weft.workflow_versions for each row execute function weft.audit_row('workflow_versions', '');

grant create on schema weft to weft_auth, weft_audit, weft_dispatch, weft_retention;

revoke all on function weft.touch() from public;

revoke all on function weft.touch_versioned() from public;

revoke all on function weft.audit_row() from public;

alter function weft.audit_row() owner to weft_audit;

revoke all on function weft.audit_event(text, text, text, jsonb) from public;

grant execute on function weft.audit_event(text, text, text, jsonb) to weft_app;

alter function weft.audit_event(text, text, text, jsonb) owner to weft_audit;

revoke all on function weft.audit_is_append_only() from public;

revoke all on function weft.find_user(text) from public;

grant execute on function weft.find_user(text) to weft_app;

alter function weft.find_user(text) owner to weft_auth;

revoke all on function weft.memberships_of(uuid) from public;

grant execute on function weft.memberships_of(uuid) to weft_app;

alter function weft.memberships_of(uuid) owner to weft_auth;

revoke all on function weft.find_tenant(text) from public;

grant execute on function weft.find_tenant(text) to weft_app;

alter function weft.find_tenant(text) owner to weft_auth;

revoke all on function weft.create_tenant(uuid, text, text, text) from public;

grant execute on function weft.create_tenant(uuid, text, text, text) to weft_app;

alter function weft.create_tenant(uuid, text, text, text) owner to weft_auth;

revoke all on function weft.ensure_user(uuid, text, text, text, text) from public;

grant execute on function weft.ensure_user(uuid, text, text, text, text) to weft_app;

alter function weft.ensure_user(uuid, text, text, text, text) owner to weft_auth;

revoke all on function weft.set_password(uuid, text) from public;

grant execute on function weft.set_password(uuid, text) to weft_app;

alter function weft.set_password(uuid, text) owner to weft_auth;

revoke all on function weft.mark_sign_in(uuid) from public;

grant execute on function weft.mark_sign_in(uuid) to weft_app;

alter function weft.mark_sign_in(uuid) owner to weft_auth;

revoke all on function weft.claim_jobs(text, integer, integer, uuid, interval, uuid[]) from public;

grant execute on function weft.claim_jobs(text, integer, integer, uuid, interval, uuid[]) to weft_app;

alter function weft.claim_jobs(text, integer, integer, uuid, interval, uuid[]) owner to weft_dispatch;

revoke all on function weft.claim_suspect(text, interval) from public;

grant execute on function weft.claim_suspect(text, interval) to weft_app;

alter function weft.claim_suspect(text, interval) owner to weft_dispatch;

revoke all on function weft.promote_jobs(timestamptz, integer, integer) from public;

grant execute on function weft.promote_jobs(timestamptz, integer, integer) to weft_app;

alter function weft.promote_jobs(timestamptz, integer, integer) owner to weft_dispatch;

revoke all on function weft.extend_leases(text, uuid[], integer[], interval) from public;

grant execute on function weft.extend_leases(text, uuid[], integer[], interval) to weft_app;

alter function weft.extend_leases(text, uuid[], integer[], interval) owner to weft_dispatch;

revoke all on function weft.release_jobs(text, uuid[], integer[], integer) from public;

grant execute on function weft.release_jobs(text, uuid[], integer[], integer) to weft_app;

alter function weft.release_jobs(text, uuid[], integer[], integer) owner to weft_dispatch;

revoke all on function weft.queue_depth() from public;

grant execute on function weft.queue_depth() to weft_app;

alter function weft.queue_depth() owner to weft_dispatch;

revoke all on function weft.prune_events(timestamptz, integer) from public;

grant execute on function weft.prune_events(timestamptz, integer) to weft_app;

alter function weft.prune_events(timestamptz, integer) owner to weft_dispatch;

revoke all on function weft.tenants_with_places() from public;

grant execute on function weft.tenants_with_places() to weft_app;

alter function weft.tenants_with_places() owner to weft_dispatch;

revoke all on function weft.lock_limits(uuid, uuid[]) from public;

grant execute on function weft.lock_limits(uuid, uuid[]) to weft_app;

revoke all on function weft.admit(uuid, uuid[], text[]) from public;

grant execute on function weft.admit(uuid, uuid[], text[]) to weft_app;

revoke all on function weft.take_places(uuid, uuid[], uuid[], text[], boolean[], integer[]) from public;

grant execute on function weft.take_places(uuid, uuid[], uuid[], text[], boolean[], integer[]) to weft_app;

revoke all on function weft.free_places(uuid, uuid[], uuid[]) from public;

grant execute on function weft.free_places(uuid, uuid[], uuid[]) to weft_app;

revoke all on function weft.sweep_places(uuid) from public;

grant execute on function weft.sweep_places(uuid) to weft_app;

revoke all on function weft.ensure_partition(text, date) from public;

revoke all on function weft.ensure_partitions(integer) from public;

grant execute on function weft.ensure_partitions(integer) to weft_app;

revoke all on function weft.claim_schedules(timestamptz, integer, interval) from public;

grant execute on function weft.claim_schedules(timestamptz, integer, interval) to weft_app;

alter function weft.claim_schedules(timestamptz, integer, interval) owner to weft_dispatch;

revoke all on function weft.next_schedule() from public;

grant execute on function weft.next_schedule() to weft_app;

alter function weft.next_schedule() owner to weft_dispatch;

revoke all on function weft.prune_schedule_runs(timestamptz, integer) from public;

grant execute on function weft.prune_schedule_runs(timestamptz, integer) to weft_app;

alter function weft.prune_schedule_runs(timestamptz, integer) owner to weft_dispatch;

revoke all on function weft.delete_executions(uuid[], integer[]) from public;

grant execute on function weft.delete_executions(uuid[], integer[]) to weft_app;

alter function weft.delete_executions(uuid[], integer[]) owner to weft_retention;

revoke all on function weft.delete_journals(uuid[], integer[]) from public;

grant execute on function weft.delete_journals(uuid[], integer[]) to weft_app;

alter function weft.delete_journals(uuid[], integer[]) owner to weft_retention;

revoke all on function weft.retention_tenants() from public;

grant execute on function weft.retention_tenants() to weft_app;

alter function weft.retention_tenants() owner to weft_auth;

revoke all on function weft.drop_empty_partitions(date) from public;

grant execute on function weft.drop_empty_partitions(date) to weft_app;

revoke all on function weft.payloads_gone() from public;

revoke all on function weft.beat(uuid, text, text, text, text) from public;

grant execute on function weft.beat(uuid, text, text, text, text) to weft_app;

alter function weft.beat(uuid, text, text, text, text) owner to weft_dispatch;

revoke all on function weft.leave(uuid) from public;

grant execute on function weft.leave(uuid) to weft_app;

alter function weft.leave(uuid) owner to weft_dispatch;

revoke all on function weft.serve_as(text) from public;

grant execute on function weft.serve_as(text) to weft_app;

alter function weft.serve_as(text) owner to weft_dispatch;

revoke create on schema weft from weft_auth, weft_audit, weft_dispatch, weft_retention;

set local role weft_audit;

grant execute on function weft.audit_row() to weft_owner;

reset role;

set local role weft_dispatch;

grant execute on function weft.serve_as(text) to weft_owner;

reset role;

grant usage on schema weft to weft_app;

grant select on weft.alembic_version to weft_app;

grant select on weft.app_instances to weft_app;

grant select on weft.audit_logs to weft_app;

grant select on weft.backups to weft_app;

grant select, insert, update, delete on weft.dispatch_dead to weft_app;

grant select, insert, update, delete on weft.dispatch_jobs to weft_app;

grant select on weft.installation to weft_app;

grant select on weft.last_runs to weft_app;

grant select on weft.migration_history to weft_app;

grant select on weft.permissions to weft_app;

grant select on weft.recovery_archives to weft_app;

grant select on weft.recovery_drills to weft_app;

grant select on weft.recovery_markers to weft_app;

grant select, update on weft.tenants to weft_app;

grant select on weft.users to weft_app;

grant select, insert on weft.archives to weft_app;

grant select, insert, update on weft.clients to weft_app;

grant select, insert, update on weft.data_migrations to weft_app;

grant select, insert, update, delete on weft.dispatch_limits to weft_app;

grant select, insert, update on weft.event_interests to weft_app;

grant select, insert, update on weft.events to weft_app;

grant select, insert, update, delete on weft.message_templates to weft_app;

grant select, insert, update on weft.payload_usage to weft_app;

grant select, insert, update, delete on weft.rate_limits to weft_app;

grant select, insert, update, delete on weft.roles to weft_app;

grant select, insert, update, delete on weft.secrets to weft_app;

grant select, insert on weft.tenant_keys to weft_app;

grant select, insert, update, delete on weft.tenant_limits to weft_app;

grant select, insert, update, delete on weft.rate_limit_states to weft_app;

grant select, insert, delete on weft.role_permissions to weft_app;

grant select, insert, update, delete on weft.tenant_users to weft_app;

grant select, insert, update on weft.workflows to weft_app;

grant select, insert, update, delete on weft.api_keys to weft_app;

grant select, insert, update, delete on weft.sessions to weft_app;

grant select, insert, update, delete on weft.user_permissions to weft_app;

grant select, insert, update on weft.workflow_counters to weft_app;

grant select, insert, update, delete on weft.workflow_limits to weft_app;

grant select, insert, update, delete on weft.workflow_triggers to weft_app;

grant select, insert on weft.workflow_versions to weft_app;

grant select, insert, update on weft.api_key_uses to weft_app;

grant select, insert, update, delete on weft.schedule_runs to weft_app;

grant select, insert, update on weft.workflow_executions to weft_app;

grant select, insert on weft.workflow_publications to weft_app;

grant select, insert, update, delete on weft.workflow_schedules to weft_app;

grant select, insert on weft.workflow_steps to weft_app;

grant select, insert, update, delete on weft.event_waits to weft_app;

grant select, insert, update on weft.execution_logs to weft_app;

grant select, insert, update, delete on weft.execution_places to weft_app;

grant select, insert, delete on weft.item_chunks to weft_app;

grant select, insert, delete on weft.item_results to weft_app;

grant select, insert, delete on weft.payloads to weft_app;

grant select, insert, update on weft.questions to weft_app;

grant select, insert on weft.workflow_transitions to weft_app;

select weft.ensure_partitions(3);

select set_config('app.maintenance', 'on', true);
insert into weft.permissions (resource, action, description) values
  ('audit', 'read', 'Search the audit log'),
  ('clients', 'read', 'See clients'),
  ('clients', 'write', 'Create, change and delete clients'),
  ('events', 'read', 'See events'),
  ('events', 'write', 'Send events, which wake and start executions'),
  ('executions', 'answer', 'Answer questions that executions ask'),
  ('executions', 'manage', 'Cancel, retry, pause, replay and move executions'),
  ('executions', 'read', 'See executions and their journal'),
  ('executions', 'start', 'Start executions'),
  ('keys', 'read', 'See API keys of the tenant'),
  ('keys', 'write', 'Create and revoke API keys'),
  ('limits', 'read', 'See concurrency limits, rate limits and how much of them is used'),
  ('limits', 'write', 'Set limits and priorities of workflows, and rate limits'),
  ('members', 'read', 'See members and their roles'),
  ('members', 'write', 'Add members, change their role or status, remove them'),
  ('roles', 'read', 'See roles and what they allow'),
  ('roles', 'write', 'Create and change roles, grant and deny permissions'),
  ('secrets', 'read', 'See which secrets there are, never their values'),
  ('secrets', 'write', 'Set and delete secrets'),
  ('system', 'read', 'See the health of the installation'),
  ('templates', 'read', 'See message templates'),
  ('templates', 'write', 'Change and delete message templates'),
  ('tenants', 'read', 'See the tenant and its settings'),
  ('tenants', 'write', 'Change the tenant and its settings'),
  ('workflows', 'publish', 'Activate, archive and roll back workflows, save versions of active ones; manage triggers'),
  ('workflows', 'read', 'See workflows, versions and triggers'),
  ('workflows', 'simulate', 'Simulate workflows, and compare versions on past executions'),
  ('workflows', 'write', 'Create workflows, edit drafts, save versions of what is not active');
