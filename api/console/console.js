// The console: a page over the management API. Everything it shows is text; what
// functions wrote is an attacker's, so no string ever becomes HTML here.

const api = async (path, options = {}) => {
	const response = await fetch("/console/api/v1/" + path, { headers: { accept: "application/json", ...(options.body && { "content-type": "application/json" }) }, ...options });
	if (response.status === 401) {
		location.assign("/login?next=" + encodeURIComponent("/console/"));
		return new Promise(() => {});
	}
	const text = await response.text();
	const body = text ? JSON.parse(text) : null;
	if (!response.ok) throw new Error(body?.message ?? `the server answered ${response.status}`);
	return body;
};

const post = (path, body) => api(path, { method: "POST", body: JSON.stringify(body ?? {}) });
const patch = (path, body) => api(path, { method: "PATCH", body: JSON.stringify(body) });

// present leaves out what is not there: cond && el(...).
const present = (children) => children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false && child !== "");

// el makes an element: el("td", {class: "number"}, 42). Children are nodes or text.
const el = (name, attributes = {}, ...children) => {
	const node = document.createElement(name);
	for (const [key, value] of Object.entries(attributes)) {
		if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
		else if (value !== undefined && value !== false) node.setAttribute(key, value === true ? "" : value);
	}
	node.append(...present(children));
	return node;
};

const segment = encodeURIComponent;
const link = (href, ...text) => el("a", { href }, ...text);
const functionLink = (name) => link("#/functions/" + segment(name), name);
const invocationLink = (id) => link("#/invocations/" + segment(id), el("code", {}, String(id).slice(0, 13) + "…"));
const status = (value) => el("span", { class: "status " + String(value).replace(/[^a-z_]/g, "") }, value ?? "");
const time = (value) => (value ? el("time", { datetime: value, title: value }, new Date(value).toLocaleString()) : "");
const milliseconds = (value) => (value === null || value === undefined ? "" : value >= 1000 ? (value / 1000).toFixed(2) + " s" : Number(value).toFixed(1) + " ms");
const bytes = (value) => (!value ? "" : value >= 1 << 20 ? (value / (1 << 20)).toFixed(1) + " MB" : Math.ceil(value / 1024) + " KB");

// table makes a table of rows of cells; a column is [title, cell of row, class].
const table = (rows, columns, empty) =>
	rows.length === 0
		? el("p", { class: "hint" }, empty)
		: el("div", { class: "scroll" }, el("table", {},
			el("thead", {}, el("tr", {}, columns.map(([title, , kind]) => el("th", { class: kind, scope: "col" }, title)))),
			el("tbody", {}, rows.map((row) => el("tr", {}, columns.map(([, cell, kind]) => el("td", { class: kind }, cell(row) ?? ""))))),
		));

// facts is a list of names and values; empty values are left out.
const facts = (pairs) =>
	el("dl", {}, pairs.filter(([, value]) => value !== undefined && value !== null && value !== "").flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));

// page is what one address shows: an entry of the navigation, and the content.
const page = (entry, ...content) => ({ entry, content });

const main = document.getElementById("main");
const show = ({ entry, content }, hash) => {
	for (const link of document.querySelectorAll("nav [data-page]")) {
		if (link.dataset.page === entry) link.setAttribute("aria-current", "page");
		else link.removeAttribute("aria-current");
	}
	main.replaceChildren(...present(content));
	main.dataset.shows = hash;
};

// action is a button that does something once and shows the page again, or why not.
const action = (title, confirmation, act) =>
	el("button", {
		"data-action": title,
		onclick: async ({ target }) => {
			if (confirmation && !confirm(confirmation)) return;
			target.disabled = true;
			try {
				await act();
				await route();
			} catch (error) {
				target.disabled = false;
				main.querySelector(":scope > .problem")?.remove();
				main.prepend(el("p", { class: "problem", role: "alert" }, error.message));
			}
		},
	}, title);

const invocationColumns = [
	["Started", (row) => time(row.started_at ?? row.created_at)],
	["Status", (row) => status(row.status)],
	["Invocation", (row) => invocationLink(row.id)],
	["Trigger", (row) => row.trigger],
	["Attempt", (row) => row.attempt, "number"],
	["Ran", (row) => milliseconds(row.duration_ms), "number"],
	["Waited", (row) => milliseconds(row.queue_ms), "number"],
	["Memory", (row) => bytes(row.memory_peak), "number"],
	["Error", (row) => (row.error_code ? `${row.error_code}: ${String(row.error_message ?? "").slice(0, 200)}` : ""), "message"],
];

const functionsPage = async () => {
	const { functions } = await api("functions");
	return page("functions", el("h1", {}, "Functions"),
		table(functions, [
			["Name", (fn) => functionLink(fn.name)],
			["State", (fn) => status(fn.paused ? "paused" : fn.enabled ? "enabled" : "disabled")],
			["Version", (fn) => fn.version, "number"],
			["Timeout", (fn) => fn.timeout + " s", "number"],
			["Memory", (fn) => bytes(fn.max_memory), "number"],
			["Token", (fn) => (fn.verify_jwt ? "required" : "not required")],
			["Deployed", (fn) => time(fn.updated_at)],
			["", (fn) => fn.description, "message"],
		], "No functions yet. Deploy one: runnel deploy hello.ts"));
};

// part loads one section of a page by itself, so that one that fails leaves the others.
const part = (title, load) => {
	const body = el("div", {}, el("p", { class: "hint" }, "Loading…"));
	load().then(
		(content) => body.replaceChildren(...present([content])),
		(error) => body.replaceChildren(el("p", { class: "problem" }, error.message)),
	);
	return [el("h2", {}, title), body];
};

const invocationsPart = (name) => {
	const body = el("div");
	const choice = el("select", { "aria-label": "status" }, ["", "success", "error", "timeout", "out_of_memory", "cancelled", "lost", "skipped"].map((value) => el("option", { value }, value || "all")));
	const load = async (cursor) => {
		const query = new URLSearchParams({ limit: "25", ...(choice.value && { status: choice.value }), ...(cursor && { cursor }) });
		try {
			const page = await api(`functions/${segment(name)}/invocations?${query}`);
			body.replaceChildren(table(page.invocations, invocationColumns, "Nothing logged."),
				el("div", { class: "actions" }, cursor && el("button", { onclick: () => load() }, "Newest"), page.next_cursor && el("button", { onclick: () => load(page.next_cursor) }, "Older")));
		} catch (error) {
			body.replaceChildren(el("p", { class: "problem" }, error.message));
		}
	};
	choice.addEventListener("change", () => load());
	load();
	return [el("h2", {}, "Invocations ", choice), body];
};

const scheduleColumns = [
	["Name", (schedule) => link("#/schedules/" + segment(schedule.id), schedule.name)],
	["State", (schedule) => status(schedule.error ? "error" : schedule.enabled ? "enabled" : "disabled")],
	["Cron", (schedule) => el("code", {}, schedule.cron)],
	["Timezone", (schedule) => schedule.timezone],
	["Next run", (schedule) => time(schedule.next_run)],
	["Waiting", (schedule) => schedule.waiting || "", "number"],
	["Problem", (schedule) => schedule.error, "message"],
];

const functionPage = async (name) => {
	const path = "functions/" + segment(name);
	const fn = await api(path);
	return page("functions",
		el("h1", {}, fn.name),
		fn.description && el("p", { class: "hint" }, fn.description),
		el("div", { class: "actions" },
			status(fn.paused ? "paused" : fn.enabled ? "enabled" : "disabled"),
			fn.paused
				? action("Resume", "", () => patch(path, { paused: false }))
				: action("Pause", `Pause ${fn.name}? What is enqueued waits.`, () => patch(path, { paused: true })),
			fn.enabled
				? action("Disable", `Disable ${fn.name}? Calls are answered with 404; triggers and schedules record a skip.`, () => patch(path, { enabled: false }))
				: action("Enable", "", () => patch(path, { enabled: true })),
			link("/riverui/jobs?tag=" + segment(fn.name), "Jobs in River UI")),
		facts([
			["Version", `${fn.version}  (${fn.wasm_hash})`],
			["Timeout", fn.timeout + " s"],
			["Memory", bytes(fn.max_memory)],
			["Attempts", fn.max_attempts || "by trigger"],
			["Concurrency", fn.max_concurrency || "unlimited"],
			["Row level security", fn.can_bypass_rls ? "bypassed" : "enforced"],
			["Hosts", (fn.allowed_hosts ?? []).join(", ") || "none"],
			["Environment", Object.entries(fn.environment ?? {}).map(([key, value]) => `${key}=${value}`).join("\n") && el("pre", {}, Object.entries(fn.environment).map(([key, value]) => `${key}=${value}`).join("\n"))],
		]),
		part("Figures", async () => {
			const stats = await api(path + "/stats");
			const figure = (value, name) => el("div", {}, el("b", {}, value), el("span", { class: "dim" }, name));
			return el("div", { class: "figures" },
				figure(stats.attempts.toLocaleString(), "attempts"),
				Object.entries(stats.by_status).filter(([, count]) => count > 0).map(([name, count]) => figure(count.toLocaleString(), status(name))),
				figure((stats.error_rate * 100).toFixed(1) + " %", "not successful"),
				stats.attempts > 0 && [figure(milliseconds(stats.duration_ms.p50), "p50"), figure(milliseconds(stats.duration_ms.p95), "p95"), figure(milliseconds(stats.duration_ms.p99), "p99")]);
		}),
		invocationsPart(name),
		part("Schedules", async () => {
			const { schedules } = await api(path + "/schedules");
			return table(schedules, scheduleColumns, `None. Add one: SELECT runnel.schedule('nightly', '0 3 * * *', '${fn.name}')`);
		}),
		part("Database triggers", async () => {
			const { triggers } = await api(path + "/triggers");
			return table(triggers, [
				["Table", (trigger) => el("code", {}, `${trigger.schema}.${trigger.table}`)],
				["Operations", (trigger) => trigger.operations.join(", ")],
				["Granularity", (trigger) => trigger.granularity],
				["Condition", (trigger) => trigger.condition && el("code", {}, trigger.condition), "message"],
				["State", (trigger) => status(trigger.enabled ? "enabled" : "disabled")],
			], `None. Add one: SELECT runnel.create_trigger('orders', '${fn.name}')`);
		}),
		part("Versions", async () => {
			const { versions } = await api(path + "/versions");
			return table(versions, [
				["Version", (version) => version.version, "number"],
				["Kind", (version) => version.kind],
				["Size", (version) => bytes(version.size), "number"],
				["sha256", (version) => el("code", {}, version.wasm_hash.slice(0, 16) + "…")],
				["Deployed", (version) => time(version.created_at)],
				["", (version) => (version.current ? "current" : action("Make current", `Make version ${version.version} of ${fn.name} current?`, () => post(path + "/rollback", { version: version.version })))],
			], "None.");
		}),
		part("Secrets", async () => {
			const { secrets } = await api(path + "/secrets");
			return table(secrets, [["Key", (secret) => el("code", {}, secret.key ?? secret)], ["Set", (secret) => time(secret.updated_at)]], "None. Set one: runnel secrets set " + fn.name + " KEY");
		}),
	);
};

const invocationPage = async (id) => {
	const row = await api("invocations/" + segment(id));
	const attempts = row.attempts?.length > 0 ? row.attempts : [row];
	return page("functions",
		el("h1", {}, "Invocation ", el("code", {}, row.id)),
		row.replay_of && el("p", {}, "A replay of ", invocationLink(row.replay_of)),
		el("div", { class: "actions" },
			status(row.status),
			["queued", "running", "retrying"].includes(row.status)
				? action("Cancel", "Cancel this invocation?", () => post(`invocations/${segment(id)}/cancel`))
				: action("Replay", "Run the same event again, as a new invocation?", async () => {
					const replay = await post(`invocations/${segment(id)}/replay`);
					location.hash = "#/invocations/" + segment(replay.invocation_id);
				})),
		attempts.map((attempt) => [
			el("h2", {}, `Attempt ${attempt.attempt}: `, status(attempt.status)),
			attempt.error_code && el("pre", {}, `${attempt.error_code}: ${attempt.error_message ?? ""}`),
			facts([
				["Function", attempt.function_name && el("span", {}, functionLink(attempt.function_name), ` version ${attempt.version}`)],
				["Trigger", attempt.trigger],
				["Role", attempt.role && attempt.role + (attempt.user_id ? ` (${attempt.user_id})` : "")],
				["Enqueued", time(attempt.created_at)],
				["Started", time(attempt.started_at)],
				["Finished", time(attempt.finished_at)],
				["Ran", milliseconds(attempt.duration_ms)],
				["Waited", milliseconds(attempt.queue_ms)],
				["Memory", bytes(attempt.memory_peak)],
				["Fuel", attempt.fuel ? attempt.fuel.toLocaleString() + " instructions" : ""],
				["River job", attempt.job_id && link("/riverui/jobs/" + segment(attempt.job_id), String(attempt.job_id))],
				["Request", attempt.request_id],
				["Trace", attempt.traceparent],
			]),
			(attempt.logs ?? []).length > 0 && el("pre", {}, attempt.logs.map((line) => el("div", { class: "level-" + String(line.level).replace(/[^a-z]/g, "") }, `${line.t}  ${line.level}  ${line.message}`))),
			attempt.result !== null && attempt.result !== undefined && [el("h2", {}, "Result"), el("pre", {}, JSON.stringify(attempt.result, null, 2))],
		]),
	);
};

const schedulePage = async (id) => {
	const path = "schedules/" + segment(id);
	const schedule = await api(path);
	return page("functions",
		el("h1", {}, "Schedule ", schedule.name),
		el("div", { class: "actions" },
			status(schedule.enabled ? "enabled" : "disabled"),
			schedule.enabled
				? action("Disable", `Disable schedule ${schedule.name}?`, () => patch(path, { enabled: false }))
				: action("Enable", "", () => patch(path, { enabled: true }))),
		schedule.error && el("p", { class: "problem" }, schedule.error),
		facts([
			["Function", functionLink(schedule.function)],
			["Cron", el("code", {}, schedule.cron)],
			["Timezone", schedule.timezone],
			["Next run", time(schedule.next_run)],
			["Missed matches", schedule.catch_up],
			["Overlapping runs", schedule.overlap],
			["Payload", el("pre", {}, JSON.stringify(schedule.payload, null, 2))],
		]),
		part("Ledger: what became of each match", async () => {
			const { ticks } = await api(path + "/ticks?limit=100");
			return table(ticks, [
				["Match", (tick) => time(tick.scheduled_time)],
				["Outcome", (tick) => status(tick.outcome)],
				["Reason", (tick) => tick.reason, "message"],
				["Invocation", (tick) => tick.invocation_id && invocationLink(tick.invocation_id)],
				["Decided", (tick) => time(tick.decided_at)],
			], "No match yet.");
		}),
	);
};

const deadLettersPage = async () => {
	const { dead_letters: letters, next_cursor: more } = await api("dead-letters?limit=100");
	return page("dead-letters",
		el("h1", {}, "Dead letters"),
		el("p", { class: "hint" }, "Invocations that failed for good. Redriving one is its next attempt."),
		table(letters, [
			["Failed", (letter) => time(letter.failed_at)],
			["Function", (letter) => functionLink(letter.function_name)],
			["Invocation", (letter) => invocationLink(letter.id)],
			["Trigger", (letter) => letter.trigger],
			["Attempts", (letter) => letter.attempts, "number"],
			["Error", (letter) => `${letter.error_code}: ${String(letter.error_message ?? "").slice(0, 200)}`, "message"],
			["", (letter) => action("Redrive", "", () => post(`dead-letters/${segment(letter.id)}/redrive`))],
			["", (letter) => action("Purge", "Remove this dead letter? It cannot be redriven afterwards.", () => api("dead-letters/" + segment(letter.id), { method: "DELETE" }))],
		], "None: nothing has failed for good."),
		more && el("p", { class: "hint" }, "There are more: runnel dlq list shows all."),
	);
};

const pages = { functions: functionPage, invocations: invocationPage, schedules: schedulePage };

// route shows the page of the address. Only the newest call does: answers for a page
// that was left meanwhile are dropped.
let routes = 0;
const route = async () => {
	const mine = ++routes;
	const { hash } = location;
	const [name = "", ...rest] = hash.replace(/^#\//, "").split("/");
	let shown;
	try {
		if (name === "dead-letters") shown = await deadLettersPage();
		else if (Object.hasOwn(pages, name) && rest.length > 0) shown = await pages[name](decodeURIComponent(rest.join("/")));
		else shown = await functionsPage();
	} catch (error) {
		shown = page("", el("p", { class: "problem", role: "alert" }, error.message), el("p", {}, link("#/", "All functions")));
	}
	if (mine === routes) show(shown, hash);
};

addEventListener("hashchange", route);
route();
