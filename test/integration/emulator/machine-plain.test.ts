/**
 * Plain mode by real OpenSSH, as this user and as a second one without rights: what a Mac or a laptop without sudo
 * gets. Costly, because only another user's processes show that no root is needed and that everything is found again.
 */
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { machineFolder } from "../../../emulator/machine/folder.ts";
import type { MachineHost, MachineSpec } from "../../../emulator/machine/index.ts";
import { readRun } from "../../../emulator/machine/runner.ts";
import {
  type Bench,
  type DaemonProcess,
  killHard,
  openBench,
  run,
  ssh,
  sshOptions,
  startDaemon,
  tracesOf,
  until,
} from "../../helpers/machines.ts";
import { freePorts } from "../../helpers/ports.ts";

const PROJECT = join(import.meta.dirname, "../../..");
const isLinux = process.platform === "linux";

describe("plain machines", () => {
  let bench: Bench;
  let host: MachineHost;
  let spec: MachineSpec;
  let login: { port: number; key: string; user: string };
  const disk = () => machineFolder(bench.home, 7).disk;
  const sh = async (command: string) => (await ssh(login, [command])).stdout;

  beforeEach(async () => {
    bench = openBench();
    writeFileSync(join(bench.home, "shared.txt"), "shared\n");
    host = await bench.host({
      plain: true,
      binds: [{ from: join(bench.home, "shared.txt"), to: "/opt/vastlane/shared.txt" }],
    });
    spec = await bench.spec(7, {
      onstart: 'echo "onstart of $CONTAINER_ID in $PWD"; echo ran >> starts; setsid sleep 1000 & ',
    });
    await host.start(spec);
    login = { port: spec.forwards[0]?.host ?? 0, key: bench.key, user: host.sshUser ?? "" };
  });
  afterEach(() => bench.close());

  test("let this user in, with home, workspace and programs of the machine's own, and clean variables", async () => {
    expect([host.mode, host.sshUser]).toEqual(["plain", userInfo().username]);
    expect(await sh("pwd; echo $HOME; echo $VASTLANE_WORKSPACE; cat ~/.vast_containerlabel")).toBe(
      `${disk()}/root\n${disk()}/root\n${disk()}/workspace\nC.7\n`,
    );
    expect(await sh("command -v node nvidia-smi; sh -lc 'command -v nvidia-smi'; node -p process.version")).toMatch(
      /bin\/node\n.*bin\/nvidia-smi\n.*bin\/nvidia-smi\nv24/,
    );
    expect(await sh("env")).not.toMatch(/CONTAINER_|VAST_URL|GPU_COUNT/);
    expect(await sh("tr '\\0' '\\n' < $VASTLANE_PID1_ENVIRON")).toMatch(
      /^VAST_URL=http:\/\/127.0.0.1:\d+$.*^CONTAINER_API_KEY=key-7$/ms,
    );
    expect(await sh("cat $VASTLANE_WORKSPACE/../opt/vastlane/shared.txt; nvidia-smi -L | wc -l")).toBe("shared\n1\n");
  });

  test("offer what deployments use: rsync, sftp, a terminal, forwarding", async () => {
    const there = join(bench.home, "there");
    mkdirSync(there);
    writeFileSync(join(there, "file"), "hello\n");
    const target = `${login.user}@127.0.0.1`;
    const shell = ["ssh", ...sshOptions(login), "-p", String(login.port)].join(" ");
    expect(
      await run("rsync", ["-a", "-e", shell, `${there}/`, `${target}:${disk()}/workspace/project/`]),
    ).toMatchObject({ status: 0 });
    const back = join(bench.home, "back");
    const sftp = ["-P", String(login.port), "-b", "-", target];
    expect(
      await run("sftp", [...sshOptions(login), ...sftp], `get ${disk()}/workspace/project/file ${back}\n`),
    ).toMatchObject({ status: 0 });
    expect(readFileSync(back, "utf8")).toBe("hello\n");
    expect((await ssh(login, ["tty"], ["-tt"])).stdout).toMatch(/^\/dev\//);
    const [inner = 0] = await freePorts(1);
    const served = await ssh(login, [
      `cd ~ && (setsid python3 -m http.server --bind 127.0.0.1 ${inner} > /dev/null 2>&1 &)`,
    ]);
    expect(served.status).toBe(0);
    const page = () =>
      fetch(`http://127.0.0.1:${inner}/starts`).then(
        (answer) => answer.text(),
        () => "",
      );
    expect(await until(page, "a server started over ssh answers")).toBe("ran\n");
  });

  test("stop with every process, also those that left their session, and keep their disk", async () => {
    await sh(
      "setsid sh -c 'sleep 2000 & sleep 2001 &' > /dev/null 2>&1; nohup sleep 2002 > /dev/null 2>&1 & echo kept > kept",
    );
    const session = ssh(login, ["sleep 2003"]);
    await until(() => sh("pgrep -f 'sleep 200[3]'"), "the session runs");
    await host.stop(7);
    expect((await session).status).toBe(255);
    expect(tracesOf(bench.home)).toEqual([]);
    expect((await run("pgrep", ["-fx", "sleep (1000|200[0-3])"])).stdout).toBe("");
    expect((await ssh(login, ["true"])).stderr).toContain("Connection refused");
    await host.start(spec);
    expect(await sh("cat kept")).toBe("kept\n");
    await until(async () => (await sh("cat starts")) === "ran\nran\n", "onstart has run again");
  });

  test("report the death of their sshd, and end the rest with it", async () => {
    const exits: number[] = [];
    host.onExit((contractId) => exits.push(contractId));
    process.kill(readRun(machineFolder(bench.home, 7))?.first.pid ?? 0, "SIGKILL");
    await until(() => exits.length > 0, "the exit is reported");
    expect([exits, host.isRunning(7), tracesOf(bench.home)]).toEqual([[7], false, []]);
  });

  test("show the container log and the load of their own processes", async () => {
    await until(
      () => host.containerLog(7).includes(`onstart of 7 in ${disk()}/root`),
      "onstart's output is in the log",
    );
    const busy = sh("timeout 4 sh -c 'while :; do :; done'");
    await until(() => host.usage(7).gpuUtil > 15, "the load shows");
    expect(
      Number(await sh("NVIDIA_SMI_SAMPLE=0.5 nvidia-smi --query-gpu=utilization.gpu --format=csv,noheader,nounits")),
    ).toBeGreaterThan(15);
    await busy;
  });

  test.skipIf(!isLinux)("let no file grow under disk-full, which stands in for a full disk", async () => {
    host.setFault(7, "disk-full");
    const write = () => ssh(login, ['python3 -c \'f = open("new", "w"); f.write("x"); f.flush()\'']);
    await until(async () => (await write()).stderr.includes("File too large"), "writing fails");
    host.setFault(7, null);
    await until(async () => (await write()).status === 0, "writing works again");
  });

  test("run several at once and leave nothing", async () => {
    const specs = await Promise.all([1, 2, 3, 4].map((id) => bench.spec(id)));
    await Promise.all(specs.map((one) => host.start(one)));
    const labels = specs.map(
      async (one) => (await ssh({ ...login, port: one.forwards[1]?.host ?? 0 }, ["cat ~/.vast_containerlabel"])).stdout,
    );
    expect(await Promise.all(labels)).toEqual(["C.1\n", "C.2\n", "C.3\n", "C.4\n"]);
    await host.close({ endMachines: true });
    expect(tracesOf(bench.home)).toEqual([]);
  });
});

describe("plain machines of a user without rights", () => {
  const name = `vltest${process.pid % 100_000}`;
  const isRoot = process.getuid?.() === 0;
  let folder: string;
  let bench: Bench;
  let daemon: DaemonProcess;
  let home: string;
  let command: string[];

  beforeAll(() => {
    bench = openBench();
    folder = mkdtempSync(join(tmpdir(), "vl-user-"));
    chmodSync(folder, 0o755);
    home = join(folder, "home");
    mkdirSync(home);
    command = [process.execPath, join(PROJECT, "test/helpers/machine-daemon.ts"), home, "plain"];
    if (!isRoot) return; // this user is one without rights already
    execFileSync("useradd", ["--no-create-home", "--shell", "/bin/bash", name]);
    const [uid = 0, gid = 0] = ["-u", "-g"].map((option) => Number(execFileSync("id", [option, name])));
    chownSync(home, uid, gid);
    // The project may lie where only root can read: the user gets a copy of what it runs.
    for (const part of ["common", "emulator/machine", "test/helpers/machine-daemon.ts", "package.json"]) {
      cpSync(join(PROJECT, part), join(folder, "project", part), { recursive: true });
    }
    cpSync(process.execPath, join(folder, "node"));
    command = [
      ...["setpriv", `--reuid=${uid}`, `--regid=${gid}`, "--clear-groups", "--no-new-privs"],
      ...["env", "-i", `PATH=/usr/local/bin:/usr/bin:/bin`, `HOME=${home}`],
      ...[join(folder, "node"), join(folder, "project/test/helpers/machine-daemon.ts"), home],
    ];
  });

  afterAll(async () => {
    await killHard(daemon.process);
    for (const host of [await bench.host({ home, plain: true })]) {
      await host.recover([]);
      await host.close({ endMachines: true });
    }
    if (isRoot) execFileSync("userdel", [name]);
    rmSync(folder, { recursive: true, force: true });
    await bench.close();
  });

  test("start, are reached, survive a killed daemon, and end without a trace", async () => {
    daemon = await startDaemon(command);
    const user = isRoot ? name : userInfo().username;
    expect(daemon.hello).toEqual({ mode: "plain", sshUser: user });
    const spec = await bench.spec(1, { onstart: "setsid sleep 1000 &\n" });
    await daemon.call("start", spec);
    const login = { port: spec.forwards[0]?.host ?? 0, key: bench.key, user };
    expect((await ssh(login, ["whoami; echo $VASTLANE_WORKSPACE; echo kept > kept"])).stdout).toBe(
      `${user}\n${home}/machines/1/disk/workspace\n`,
    );
    await killHard(daemon.process);
    daemon = await startDaemon(command);
    await daemon.call("recover", [spec]);
    expect(await daemon.call("isRunning", 1)).toBe(true);
    expect((await ssh(login, ["cat kept; pgrep -fx 'sleep 1000' | wc -l"])).stdout).toBe("kept\n1\n");
    await ssh(login, ["(setsid sleep 1001 > /dev/null 2>&1 &)"]);
    await daemon.call("stop", 1);
    expect(tracesOf(home)).toHaveLength(1); // the daemon itself
    expect(await daemon.call("isRunning", 1)).toBe(false);
    await daemon.call("remove", 1);
    expect(existsSync(machineFolder(home, 1).root)).toBe(false);
  });
});
