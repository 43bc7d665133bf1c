package sql

import _ "embed"

// The statements of query/, one file each. The files say what a statement does
// and what its parameters are; psql can PREPARE them.
var (
	//go:embed query/bootstrap.sql
	bootstrapSQL string
	//go:embed query/levels.sql
	levelsSQL string
	//go:embed query/rights.sql
	rightsSQL string

	//go:embed query/functions.sql
	functionsSQL string
	//go:embed query/deploy.sql
	deploySQL string
	//go:embed query/unchanged.sql
	unchangedSQL string
	//go:embed query/configure.sql
	configureSQL string
	//go:embed query/environment.sql
	environmentSQL string
	//go:embed query/setsecret.sql
	setSecretSQL string
	//go:embed query/stored.sql
	storedSQL string
	//go:embed query/reseal.sql
	resealSQL string
	//go:embed query/versions.sql
	versionsSQL string
	//go:embed query/rollback.sql
	rollbackSQL string

	//go:embed query/enqueue.sql
	enqueueSQL string
	//go:embed query/fetch.sql
	fetchSQL string
	//go:embed query/once.sql
	onceSQL string
	//go:embed query/load.sql
	loadSQL string
	//go:embed query/settle.sql
	settleSQL string
	//go:embed query/handback.sql
	handBackSQL string
	//go:embed query/responses.sql
	responsesSQL string

	//go:embed query/control.sql
	controlSQL string
	//go:embed query/promote.sql
	promoteSQL string
	//go:embed query/depth.sql
	depthSQL string
	//go:embed query/days.sql
	daysSQL string
	//go:embed query/stats.sql
	statsSQL string
	//go:embed query/heartbeat.sql
	heartbeatSQL string
	//go:embed query/strays.sql
	straysSQL string
	//go:embed query/lost.sql
	lostSQL string

	//go:embed query/due.sql
	dueSQL string
	//go:embed query/schedules.sql
	schedulesSQL string
	//go:embed query/ticks.sql
	ticksSQL string
	//go:embed query/twice.sql
	twiceSQL string
	//go:embed query/dueruns.sql
	dueRunsSQL string
	//go:embed query/waiting.sql
	waitingSQL string
	//go:embed query/release.sql
	releaseSQL string
	//go:embed query/tick.sql
	tickSQL string
	//go:embed query/swept.sql
	sweptSQL string
	//go:embed query/deployed.sql
	deployedSQL string
	//go:embed query/nextsweep.sql
	nextSweepSQL string

	//go:embed query/slots.sql
	slotsSQL string
	//go:embed query/probe.sql
	probeSQL string
	//go:embed query/claim.sql
	claimSQL string
	//go:embed query/types.sql
	typesSQL string

	//go:embed query/invocations.sql
	invocationsSQL string
	//go:embed query/job.sql
	jobSQL string
	//go:embed query/deadletters.sql
	deadLettersSQL string
	//go:embed query/invocation.sql
	invocationSQL string
)
