// The official client itself: only it can show that it runs unmodified against the emulated market.
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createEmulatorClient, type EmulatorInfo, startEmulator, stopEmulator } from "../../../emulator/index.ts";
import { type CliResult, ensureVastaiCli, openVastaiCli, type VastaiCli } from "../../helpers/vastai-cli.ts";
import { isUpdating, type Names, readFixture, withNames, writeFixture } from "../../helpers/wire-fixtures.ts";

const cliAtHand = await ensureVastaiCli();

let home: string;
let info: EmulatorInfo;
let cli: VastaiCli;
const names: Names = new Map();
/** Ids by the names that commands below use for them. */
const ids: Record<string, string> = {};

beforeAll(async () => {
  if (!cliAtHand.ok) return;
  home = mkdtempSync(join(tmpdir(), "vastlane-cli-"));
  info = await startEmulator({ home, noMachines: true, calm: true, loadingSeconds: 0 });
  await createEmulatorClient(info).credit(1000);
  cli = await openVastaiCli(info);
  names.set(info.apiKey, "key");
  await findOffers();
  cli.sent();
});

afterAll(async () => {
  await cli?.close();
  if (home) await stopEmulator(home).then(() => rmSync(home, { recursive: true, force: true }));
});

/** A command line with `<name>` for ids, and what must be true of its outcome. */
interface Row {
  command: string[];
  /** In stdout, with `<name>` for ids. */
  says?: string | RegExp;
  /** In stderr. The exit code stays 0 at most errors of the API: that is how the client is. */
  complains?: string | RegExp;
  code?: number;
  check?: (result: CliResult) => unknown;
}

const IMAGE = ["--image", "ubuntu:22.04"];

// In this order: later commands act on what earlier ones made.
const rows: Record<string, Row> = {
  "search-offers": {
    command: [
      "search",
      "offers",
      "num_gpus=1 gpu_name=RTX_4090 dph<0.5 gpu_ram>=24",
      "--limit",
      "3",
      "-o",
      "dph_total",
    ],
    says: "RTX_4090",
    check: ({ stdout }) => expect(stdout).not.toContain("invalid return Content-Type"),
  },
  "search-offers-bid": { command: ["search", "offers", "-n", "--type", "bid", "--storage", "50"], says: "$/hr" },
  "search-offers-filters": {
    command: [
      "search",
      "offers",
      "driver_version>=535.86.05 duration>2 geolocation in [US,CA] verified=any cpu_ram>=64",
      "--raw",
    ],
    check: ({ stdout }) => {
      const found = JSON.parse(stdout) as { geolocation: string; duration: number; cpu_ram: number }[];
      expect(found.length).toBeGreaterThan(0);
      for (const offer of found) {
        expect(offer.geolocation).toMatch(/, (US|CA)$/);
        expect(offer.duration).toBeGreaterThan(2 * 86_400);
        expect(offer.cpu_ram).toBeGreaterThanOrEqual(64_000);
      }
    },
  },
  "search-offers-reserved": { command: ["search", "offers", "-r"], says: "$/hr" },
  "search-offers-new": { command: ["search", "offers", "--new"], says: "$/hr" },
  "create-instance": {
    // biome-ignore format: a command line
    command: ["create", "instance", "<offer-1>", ...IMAGE, "--disk", "20", "--ssh", "--direct", "--env", "-e A=b -p 8080:8080", "--onstart-cmd", "echo hi", "--label", "t1", "--raw"],
    check: ({ stdout }) => remember("contract-1", JSON.parse(stdout).new_contract),
  },
  "create-instance-bid": {
    command: ["create", "instance", "<offer-2>", ...IMAGE, "--bid_price", "0.5", "--cancel-unavail", "--raw"],
    check: ({ stdout }) => remember("contract-2", JSON.parse(stdout).new_contract),
  },
  "create-instance-args": {
    command: ["create", "instance", "<offer-3>", ...IMAGE, "--onstart-cmd", "bash", "--args", "-c", "sleep 1"],
    says: "Started.",
  },
  "create-instance-template": {
    command: ["create", "instance", "<offer-4>", "--template_hash", "H"],
    says: "Started.",
  },
  "create-instance-taken": {
    command: ["create", "instance", "<offer-1>", ...IMAGE],
    complains: "Failed with error 404: error 404/3603: no_such_ask",
  },
  "create-instances": { command: ["create", "instances", "<offer-5>", "<offer-6>", ...IMAGE], says: "Started." },
  "launch-instance": {
    command: ["launch", "instance", "-g", "RTX_4090", "-n", "1", "-i", "img"],
    says: "Instance launched successfully",
  },
  "show-instances": { command: ["show", "instances"], says: "Total:" },
  "show-instances-verbose": { command: ["show", "instances", "-v"], says: "<contract-1>" },
  "show-instances-raw": {
    command: ["show", "instances", "--raw"],
    check: ({ stdout }) => expect(JSON.parse(stdout)).toHaveLength(7),
  },
  "show-instances-quiet": { command: ["show", "instances", "-q"], says: /^<contract-1>\n<contract-2>\n/ },
  "show-instances-filtered": {
    command: ["show", "instances", "--status", "running", "--label", "t1", "--raw"],
    check: ({ stdout }) =>
      expect(JSON.parse(stdout)).toMatchObject([{ label: "t1", extra_env: { A: "b", "-p 8080:8080": "1" } }]),
  },
  "show-instance": { command: ["show", "instance", "<contract-1>"], says: "<contract-1>" },
  "show-instance-raw": {
    command: ["show", "instance", "<contract-1>", "--raw"],
    check: ({ stdout }) => expect(JSON.parse(stdout)).toMatchObject({ actual_status: "running", disk_space: 20 }),
  },
  "show-instance-missing": { command: ["show", "instance", "12"], complains: "Instance 12 not found", code: 1 },
  "stop-instance": { command: ["stop", "instance", "<contract-1>"], says: "stopping instance <contract-1>." },
  "start-instance": { command: ["start", "instance", "<contract-1>"], says: "starting instance <contract-1>." },
  "stop-instances": { command: ["stop", "instances", "<contract-1>", "<contract-2>"], says: "stopping instance" },
  "start-instances": { command: ["start", "instances", "<contract-1>", "<contract-2>"], says: "starting instance" },
  "reboot-instance": { command: ["reboot", "instance", "<contract-1>"], says: "Rebooting instance <contract-1>." },
  "recycle-instance": { command: ["recycle", "instance", "<contract-1>"], says: "Recycling instance <contract-1>." },
  "change-bid": { command: ["change", "bid", "<contract-2>", "--price", "0.6"], says: "Per gpu bid price changed" },
  "label-instance": { command: ["label", "instance", "<contract-1>", "x"], says: "label for <contract-1> set to x." },
  "update-instance": {
    command: ["update", "instance", "<contract-1>", "--image", "i"],
    says: "Instance <contract-1> updated successfully.",
  },
  "ssh-url": { command: ["ssh-url", "<contract-1>"], says: /^ssh:\/\/root@127\.0\.0\.1:\d+$/m },
  "scp-url": { command: ["scp-url", "<contract-2>"], says: /^scp:\/\/root@127\.0\.0\.1:\d+$/m },
  "ssh-url-missing": { command: ["ssh-url", "12"], says: "error: no instance found with id 12", code: 1 },
  "show-ssh-keys-none": { command: ["show", "ssh-keys"], complains: "No SSH keys found" },
  "create-ssh-key": {
    command: ["create", "ssh-key", "ssh-ed25519 AAAA c", "-y"],
    says: "ssh-key created",
    check: ({ stdout }) => remember("key-1", /'id': (\d+)/.exec(stdout)?.[1]),
  },
  "show-ssh-keys": { command: ["show", "ssh-keys"], says: "'key': 'ssh-ed25519 AAAA c'" },
  "update-ssh-key": {
    command: ["update", "ssh-key", "<key-1>", "ssh-ed25519 BBBB c"],
    says: "'public_key': 'ssh-ed25519 BBBB c'",
  },
  "attach-ssh": { command: ["attach", "ssh", "<contract-1>", "ssh-ed25519 BBBB c"], says: "'success': True" },
  "detach-ssh": { command: ["detach", "ssh", "<contract-1>", "<key-1>"], says: "'success': True" },
  "delete-ssh-key": { command: ["delete", "ssh-key", "<key-1>"], says: "'success': True" },
  "show-user": { command: ["show", "user"], says: "dev@example.test" },
  logs: { command: ["logs", "<contract-1>", "--tail", "10"], says: "machine C.<contract-1> started" },
  "logs-daemon": {
    command: ["logs", "<contract-1>", "--daemon-logs", "--filter", "rent"],
    says: "rent C.<contract-1>",
  },
  // The client gets the text and then crashes on it, whatever it is (vast-api.md 5.2): the request is what counts.
  execute: {
    command: ["execute", "<contract-1>", "ls -l"],
    complains: "AttributeError: 'str' object has no attribute 'get'",
    code: 1,
  },
  copy: { command: ["copy", "C.<contract-1>:/a/", "C.<contract-2>:/b/"], says: "Remote to Remote copy initiated" },
  "show-invoices": { command: ["show", "invoices"], says: "charge", complains: "DEPRECATED" },
  "show-invoices-v1-charges": { command: ["show", "invoices-v1", "-c"], says: "Instance" },
  "show-invoices-v1-invoices": { command: ["show", "invoices-v1", "-i"], says: "Credit" },
  "show-volumes": { command: ["show", "volumes"], says: "mach_id" },
  "search-volumes": { command: ["search", "volumes"], says: "$/Gb/Month" },
  "create-volume": { command: ["create", "volume", "77", "-s", "20"], complains: "no_such_ask Volume offer 77" },
  "delete-volume": { command: ["delete", "volume", "5"], complains: "no_such_volume 5" },
  "show-env-vars": { command: ["show", "env-vars"], says: "No environment variables found" },
  "create-env-var": { command: ["create", "env-var", "hf_token", "abc"], says: "Environment variable saved" },
  "search-templates": { command: ["search", "templates", "name=x", "--raw"], says: "[]" },
  "show-api-keys": { command: ["show", "api-keys"], says: "'apikeys'" },
  "show-audit-logs": { command: ["show", "audit-logs"], says: "api_route" },
  "take-snapshot": {
    command: ["take", "snapshot", "<contract-1>", "--repo", "a/b"],
    says: "Snapshot request sent successfully",
  },
  "destroy-instance": {
    command: ["destroy", "instance", "<contract-1>", "-y"],
    says: "destroying instance <contract-1>.",
  },
  "destroy-instance-again": {
    command: ["destroy", "instance", "<contract-1>", "-y"],
    complains: "Failed with error 404: error 404/3311: no_such_instance",
  },
  "destroy-instances": {
    command: ["destroy", "instances", "<contract-2>", "-y"],
    says: "destroying instance [<contract-2>]",
  },
};

describe.skipIf(!cliAtHand.ok)(`the official client${cliAtHand.ok ? "" : ` (skipped: ${cliAtHand.why})`}`, () => {
  test.each(Object.entries(rows))("%s", async (name, { command, says, complains, code = 0, check }) => {
    const result = await cli.run(...command.map(withIds));
    const seen = { stdout: plain(result.stdout), stderr: plain(result.stderr) };
    const whole = `$ vastai ${command.join(" ")}\n${seen.stdout}\n${seen.stderr}`;
    if (says !== undefined) expectText(seen.stdout, says, whole);
    if (complains !== undefined) expectText(seen.stderr, complains, whole);
    else expect(seen.stderr, whole).not.toMatch(/Traceback|Failed with error/);
    expect(result.code, whole).toBe(code);
    await check?.(result);

    const sent = withNames({ command, requests: cli.sent() }, names);
    if (isUpdating) writeFixture(name, sent);
    expect(sent).toEqual(readFixture(name));
  });

  test("says so when the key is wrong, in the words of the market", async () => {
    const wrong = await cli.run("show", "instances", "--api-key", "nonsense");
    expect(plain(wrong.stderr)).toContain("Failed with error 401: Invalid user key");
    const search = await cli.run("search", "offers", "--api-key", "nonsense");
    expect(plain(search.stderr)).toContain("Failed with error 404: Invalid user key");
  });

  test("gets over two 429 in plain text by itself, and not over three", async () => {
    const admin = createEmulatorClient(info);
    await admin.fault("rate-limit", { count: 2, on: "list" });
    expect((await cli.run("show", "instances", "-q")).stderr).not.toContain("Failed");
    await admin.fault("rate-limit", { count: 3, on: "list" });
    expect(plain((await cli.run("show", "instances", "-q")).stderr)).toContain("Failed with error 429");
  });

  test("follows the pages of a long list", async () => {
    const { stdout } = await cli.run("search", "offers", "num_gpus=1", "--raw");
    const offers = (JSON.parse(stdout) as { id: number }[]).slice(0, 30).map((offer) => String(offer.id));
    await cli.run("create", "instances", ...offers, "--image", "u");
    const listed = JSON.parse((await cli.run("show", "instances", "--raw")).stdout) as unknown[];
    expect(listed.length).toBeGreaterThan(30);
  });

  test("works as the plain program, too", async () => {
    const { stdout } = await promisify(execFile)(cli.program, ["show", "user", "--raw"], { env: cli.environment });
    expect(JSON.parse(stdout)).toMatchObject({ username: "dev", credit: expect.any(Number) });
  });
});

/** Six cheap offers that take a bid of half a dollar and have room for ports. */
async function findOffers(): Promise<void> {
  const { stdout } = await cli.run(
    "search",
    "offers",
    "num_gpus=1 direct_port_count>5 dph<0.4",
    "-o",
    "dph_total",
    "--raw",
  );
  for (const [index, offer] of (JSON.parse(stdout) as { id: number }[]).slice(0, 6).entries())
    remember(`offer-${index + 1}`, offer.id);
}

function remember(name: string, id: unknown): void {
  expect(String(id)).toMatch(/^\d+$/);
  ids[name] = String(id);
  names.set(String(id), name);
}

function withIds(text: string): string {
  return text.replaceAll(/<([\w-]+)>/g, (whole, name: string) => ids[name] ?? whole);
}

/** Without colours and cursor movements, with names for ids. */
function plain(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences are what is taken out
  let clean = text.replaceAll(/\u001b\[[0-9;]*[A-Za-z]/g, "");
  for (const [name, id] of Object.entries(ids)) if (id.length > 3) clean = clean.replaceAll(id, `<${name}>`);
  return clean;
}

function expectText(text: string, wanted: string | RegExp, whole: string): void {
  if (typeof wanted === "string") expect(text, whole).toContain(wanted);
  else expect(text, whole).toMatch(wanted);
}
