/**
 * Costly, because only a real OpenSSH against a real sandbox shows that machines are what people will meet:
 * sessions, files, forwarding, isolation, and that nothing of them is left behind.
 */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { isAlive } from "../../../common/process.ts";
import { machineFolder } from "../../../emulator/machine/folder.ts";
import type { MachineHost, MachineSpec } from "../../../emulator/machine/index.ts";
import { readRun } from "../../../emulator/machine/runner.ts";
import { findProgram } from "../../../emulator/machine/tools.ts";
import {
  type Bench,
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

const canIsolate = process.getuid?.() === 0 && ["bwrap", "ip"].every((name) => findProgram(name));
const DAEMON = join(import.meta.dirname, "../../helpers/machine-daemon.ts");

describe.skipIf(!canIsolate)("one machine", () => {
  let bench: Bench;
  let host: MachineHost;
  let spec: MachineSpec;
  let data: string;
  const at = (forward: number) => spec.forwards[forward]?.host ?? 0;
  const login = () => ({ port: at(0), key: bench.key });
  const sh = async (command: string) => (await ssh(login(), [command])).stdout;

  beforeAll(async () => {
    bench = openBench();
    data = join(bench.home, "data");
    mkdirSync(data);
    writeFileSync(join(data, "shared.txt"), "shared\n");
    host = await bench.host({ binds: [{ from: data, to: "/opt/shared" }] });
    const onstart = 'echo "onstart of $CONTAINER_ID as $(whoami) in $PWD"\necho ran >> /root/starts\n';
    spec = await bench.spec(7, { onstart, env: { CONTAINER_API_KEY: "key-7", GREETING: "two words" } });
    await host.start(spec);
  });

  afterAll(() => bench.close());

  test("lets the key in as root, over the direct and the proxy port", async () => {
    expect(host.mode).toBe("isolated");
    expect(host.sshUser).toBeUndefined();
    expect(await ssh(login(), ["hostname; whoami; pwd"])).toMatchObject({ status: 0, stdout: "C.7\nroot\n/root\n" });
    expect((await ssh({ ...login(), port: at(1) }, ["cat /etc/hostname"])).stdout).toBe("C.7\n");
  });

  test("greets on stderr as Vast does", async () => {
    const { stderr } = await ssh(login(), ["true"]);
    expect(stderr).toContain("Welcome to vast.ai. If authentication fails, try again after a few seconds");
  });

  test("refuses another key, and passwords", async () => {
    const stranger = openBench();
    const { status, stderr } = await ssh({ ...login(), key: stranger.key }, ["true"]);
    await stranger.close();
    expect(status).toBe(255);
    expect(stderr).toContain("Permission denied (publickey)");
  });

  test("gives the injected variables to the first process and none of them to sessions", async () => {
    const first = (await sh("tr '\\0' '\\n' < /proc/1/environ")).split("\n");
    expect(first).toEqual(
      expect.arrayContaining([
        "CONTAINER_ID=7",
        "VAST_CONTAINERLABEL=C.7",
        "CONTAINER_API_KEY=key-7",
        "PUBLIC_IPADDR=127.0.0.1",
        `VAST_TCP_PORT_22=${at(0)}`,
        "GPU_COUNT=1",
        `SSH_PUBLIC_KEY=${bench.publicKey}`,
        `VAST_URL=${host.apiUrl(7)}`,
        "GREETING=two words",
      ]),
    );
    expect(await sh("env")).not.toMatch(/CONTAINER|VAST|GPU_COUNT|GREETING/);
  });

  test("shows sessions what a start script puts into /etc/environment", async () => {
    await sh("tr '\\0' '\\n' < /proc/1/environ | grep '^GREETING=' >> /etc/environment");
    expect(await sh("echo $GREETING")).toBe("two words\n");
  });

  test("keeps keys out of the computer's process list", async () => {
    expect((await run("ps", ["-eo", "args"])).stdout).not.toContain("key-7");
  });

  test("looks like a container with the usual programs", async () => {
    expect(await sh("node --version")).toMatch(/^v24\./);
    expect(await sh("python3 -c 'print(6 * 7)'")).toBe("42\n");
    expect(await sh("cat ~/.vast_containerlabel /opt/shared/shared.txt")).toBe("C.7\nshared\n");
    expect(await sh("for p in bash rsync tar nvidia-smi; do command -v $p; done | wc -l")).toBe("4\n");
    expect((await ssh(login(), ["touch /usr/bin/x /opt/shared/x"])).status).toBe(1);
    expect(
      (await ssh(login(), ["touch /workspace/x /opt/x /tmp/x /var/log/x /usr/local/lib/x /etc/x /x"])).status,
    ).toBe(0);
  });

  test("shows its own processes only", async () => {
    const processes = (await sh("ps -eo args")).split("\n");
    expect(processes[1]).toBe("/bin/bash /.launch /usr/sbin/sshd");
    expect(processes.length).toBeLessThan(12);
    // No account of this computer, and no password hash.
    expect(await sh("cut -d: -f2 /etc/shadow | sort -u")).toBe("*\n");
  });

  test("answers nvidia-smi with a load that follows the processes inside", async () => {
    expect(await sh("nvidia-smi -L")).toMatch(/^GPU 0: NVIDIA GeForce RTX 3090 \(UUID: GPU-[0-9a-f-]{36}\)\n$/);
    const query = "nvidia-smi --query-gpu=utilization.gpu --format=csv,noheader,nounits";
    const work = 'timeout 20 python3 -c "while True: pass" & ';
    expect(Number(await sh(`${work} sleep 0.1; NVIDIA_SMI_SAMPLE=0.5 ${query}; kill %1`))).toBeGreaterThan(15);
    expect(Number(await sh(`NVIDIA_SMI_SAMPLE=0.5 ${query}`))).toBeLessThan(15);
  });

  test("reports load, disk and traffic to the market", async () => {
    const before = host.usage(7);
    const busy = ssh(login(), [
      "head -c 3000000 /dev/urandom > /workspace/three-megabytes; timeout 4 python3 -c 'while True: pass'",
    ]);
    await until(() => host.usage(7).gpuUtil > 15, "the load shows");
    await busy;
    await ssh(login(), ["cat /workspace/three-megabytes"]);
    const after = host.usage(7);
    expect(after.sentBytes - before.sentBytes).toBeGreaterThan(0);
    expect(after.receivedBytes).toBeGreaterThan(before.receivedBytes);
    await until(() => host.usage(7).diskBytes > 3_000_000, "the file is counted", 20_000);
  });

  test("runs onstart as root with its output in the container log", async () => {
    expect(host.containerLog(7)).toContain("onstart of 7 as root in /root");
    expect(await sh("cat /root/starts; ls /root/onstart.sh /root/hasbooted")).toBe(
      "ran\n/root/hasbooted\n/root/onstart.sh\n",
    );
  });

  test("copies files both ways with rsync and sftp", async () => {
    const there = join(bench.home, "there");
    mkdirSync(join(there, "deep"), { recursive: true });
    writeFileSync(join(there, "deep/a file"), "hello\n");
    const shell = ["ssh", ...sshOptions(login()), "-p", String(at(0))].join(" ");
    expect(await run("rsync", ["-a", "-e", shell, `${there}/`, "root@127.0.0.1:/workspace/project/"])).toMatchObject({
      status: 0,
    });
    expect(await sh("cat '/workspace/project/deep/a file'")).toBe("hello\n");
    const back = join(bench.home, "back");
    const batch = `get "/workspace/project/deep/a file" ${back}\nput ${back} /workspace/uploaded\n`;
    const sftp = await run("sftp", [...sshOptions(login()), "-P", String(at(0)), "-b", "-", "root@127.0.0.1"], batch);
    expect(sftp).toMatchObject({ status: 0 });
    expect(readFileSync(back, "utf8")).toBe("hello\n");
    expect(await sh("cat /workspace/uploaded")).toBe("hello\n");
  });

  test("gives a terminal when asked", async () => {
    expect((await ssh(login(), ["tty; stty size"], ["-tt"])).stdout).toMatch(/^\/dev\/pts\/\d+\r\n/);
  });

  test("shares one tmux between interactive logins until ~/.no_auto_tmux is there", async () => {
    const shellIn = (command: string) =>
      run(
        "script",
        ["-qec", ["ssh", ...sshOptions(login()), "-tt", "-p", String(at(0)), "root@127.0.0.1"].join(" "), "/dev/null"],
        command,
      );
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it is the shell's
    const type = "sleep 1; echo in tmux: [${TMUX:+yes}]; sleep 1; exit\n";
    if (findProgram("tmux")) expect((await shellIn(type)).stdout).toContain("in tmux: [yes]");
    await sh("touch ~/.no_auto_tmux");
    expect((await shellIn(type)).stdout).toContain("in tmux: []");
  });

  test("forwards ports through ssh -L, and its container port through the market's", async () => {
    const [local = 0] = await freePorts(1);
    await sh("cd /opt/shared && (setsid python3 -m http.server 8080 > /tmp/http.log 2>&1 &)");
    const tunnel = spawn(
      "ssh",
      [...sshOptions(login()), "-N", "-L", `${local}:localhost:8080`, "-p", String(at(0)), "root@127.0.0.1"],
      { stdio: "ignore" },
    );
    const fetchText = (port: number) =>
      fetch(`http://127.0.0.1:${port}/shared.txt`).then(
        (answer) => answer.text(),
        () => "",
      );
    expect(await until(() => fetchText(local), "the tunnel answers")).toBe("shared\n");
    await killHard(tunnel);
    expect(await fetchText(at(2))).toBe("shared\n");
  });

  test("reaches the market's API from inside with its own key", async () => {
    const call = "eval \"$(tr '\\0' '\\n' < /proc/1/environ | grep -E \"^(VAST_URL|CONTAINER_API_KEY)=\")\"; ";
    const ask = `python3 -c 'import urllib.request as r, sys; print(r.urlopen(r.Request(sys.argv[1], headers={"Authorization": "Bearer " + sys.argv[2]})).read().decode(), end="")' $VAST_URL/api/v0/users/current/ $CONTAINER_API_KEY`;
    expect(await sh(call + ask)).toBe("market Bearer key-7\n");
    if (findProgram("curl"))
      expect(await sh(`${call} curl -sS -H "Authorization: Bearer $CONTAINER_API_KEY" $VAST_URL/`)).toBe(
        "market Bearer key-7\n",
      );
  });

  test("cannot reach what else listens on this computer", async () => {
    const server = createServer((_, response) => response.end("private")).listen(0, "127.0.0.1");
    await until(() => server.listening, "the server listens");
    const { port } = server.address() as AddressInfo;
    const gateway = new URL(host.apiUrl(7)).hostname;
    const probe = (address: string) =>
      ssh(login(), [`python3 -c 'import socket; socket.create_connection(("${address}", ${port}), 2)'`]);
    expect((await probe("127.0.0.1")).stderr).toContain("Connection refused");
    expect((await probe(gateway)).stderr).toContain("Connection refused");
    expect((await probe("192.0.2.1")).stderr).toContain("Network is unreachable");
    server.close();
  });

  test("takes new keys while it runs, and drops old ones", async () => {
    const other = openBench();
    host.setAuthorizedKeys(7, [other.publicKey]);
    expect((await ssh({ ...login(), key: other.key }, ["true"])).status).toBe(0);
    expect((await ssh(login(), ["true"])).status).toBe(255);
    host.setAuthorizedKeys(7, [bench.publicKey]);
    expect((await ssh(login(), ["true"])).status).toBe(0);
    await other.close();
  });

  test("plays refused, slow and foreign SSH, and is itself again afterwards", async () => {
    const [, trusted] = readFileSync(
      join(machineFolder(bench.home, 7).disk, "etc/ssh/ssh_host_ed25519_key.pub"),
      "utf8",
    ).split(" ");
    const known = join(bench.home, "known");
    writeFileSync(known, `machine ssh-ed25519 ${trusted}\n`);
    const strict = [
      "-o",
      "StrictHostKeyChecking=yes",
      "-o",
      "HostKeyAlias=machine",
      "-o",
      `UserKnownHostsFile=${known}`,
    ];
    const once = () =>
      run("ssh", [...strict, ...sshOptions(login()), "-p", String(at(0)), "root@127.0.0.1", "echo in"]);
    expect((await once()).stdout).toBe("in\n");
    host.setFault(7, "ssh-refused");
    expect((await once()).stderr).toMatch(/kex_exchange_identification|Connection (reset|closed)/);
    host.setFault(7, "ssh-wrong-key");
    expect((await once()).stderr).toContain("REMOTE HOST IDENTIFICATION HAS CHANGED");
    expect((await ssh(login(), ["true"])).stderr).toContain("Permission denied");
    host.setFault(7, "ssh-slow");
    const began = performance.now();
    expect((await once()).stdout).toBe("in\n");
    expect(performance.now() - began).toBeGreaterThan(2500);
    host.setFault(7, null);
    expect((await once()).stdout).toBe("in\n");
  });

  test("really has no space left under disk-full, reads on, and recovers", async () => {
    await sh("echo before > /workspace/old");
    host.setFault(7, "disk-full");
    const write = () => ssh(login(), ["cat /workspace/old && echo new > /workspace/new"]);
    await until(async () => (await write()).stderr.includes("No space left on device"), "the disk is full");
    expect((await write()).stdout).toBe("before\n");
    expect(
      (await ssh(login(), ['rm /workspace/old && node -e \'fs.writeFileSync("/root/x", "x".repeat(9))\''])).stderr,
    ).toContain("ENOSPC");
    host.setFault(7, null);
    await until(async () => (await write()).status === 0, "the disk takes writes again");
  });

  test("is killed by a stop, and comes back with its disk, its host key, and onstart run again", async () => {
    const key = () => sh("cat /etc/ssh/ssh_host_ed25519_key.pub");
    const before = await key();
    await sh("echo kept > /workspace/kept; echo kept > /kept; (setsid sleep 1000 > /dev/null 2>&1 &)");
    const session = ssh(login(), ["sleep 1000"]);
    const record = readRun(machineFolder(bench.home, 7));
    await host.stop(7);
    expect((await session).status).toBe(255);
    expect(host.isRunning(7)).toBe(false);
    expect(record && isAlive(record.first)).toBe(false);
    expect(tracesOf(bench.home).filter((trace) => trace.includes("process"))).toEqual([]);
    expect((await ssh(login(), ["true"])).stderr).toContain("Connection refused");
    await host.start(spec);
    await host.start(spec);
    expect(await sh("cat /workspace/kept /kept; pgrep -c sleep")).toBe("kept\nkept\n1\n");
    expect(await key()).toBe(before);
    await until(async () => (await sh("cat /root/starts")) === "ran\nran\n", "onstart has run again");
  });
});

describe.skipIf(!canIsolate)("several machines", () => {
  let bench: Bench;
  let host: MachineHost;

  beforeEach(async () => {
    bench = openBench();
    host = await bench.host();
  });
  afterEach(() => bench.close());

  const login = (spec: MachineSpec) => ({ port: spec.forwards[0]?.host ?? 0, key: bench.key });

  test("listen on the same inner port without meeting each other", async () => {
    const specs = await Promise.all([1, 2].map((id) => bench.spec(id)));
    await Promise.all(specs.map((spec) => host.start(spec)));
    const serve =
      "cd /root && hostname > name && (setsid python3 -m http.server 8080 > /dev/null 2>&1 &) ; hostname -I || true";
    await Promise.all(specs.map((spec) => ssh(login(spec), [serve])));
    for (const spec of specs) {
      const url = `http://127.0.0.1:${spec.forwards[2]?.host}/name`;
      const answer = await until(
        () =>
          fetch(url).then(
            (reply) => reply.text(),
            () => "",
          ),
        "the machine's server answers",
      );
      expect(answer).toBe(`${spec.hostname}\n`);
    }
    const [first, second] = specs as [MachineSpec, MachineSpec];
    const address = readRun(machineFolder(bench.home, 2))?.link?.address;
    const probe = await ssh(login(first), [
      `python3 -c 'import socket; socket.create_connection(("${address}", 22), 1)'`,
    ]);
    expect(probe.stderr).toMatch(/timed out|No route to host/);
    expect((await ssh(login(second), ["hostname"])).stdout).toBe("C.2\n");
  });

  test("ten start at once", async () => {
    const specs = await Promise.all(Array.from({ length: 10 }, (_, index) => bench.spec(index + 1)));
    const began = performance.now();
    await Promise.all(specs.map((spec) => host.start(spec)));
    console.log(`ten machines in ${Math.round(performance.now() - began)} ms`);
    const names = await Promise.all(specs.map(async (spec) => (await ssh(login(spec), ["hostname"])).stdout));
    expect(names).toEqual(specs.map((spec) => `${spec.hostname}\n`));
    await Promise.all(specs.map((spec) => host.remove(spec.contractId)));
    expect(tracesOf(bench.home)).toHaveLength(1); // the bridge
    expect(existsSync(machineFolder(bench.home, 1).root)).toBe(false);
  });

  test("report one that dies by itself, once", async () => {
    const exits: number[] = [];
    host.onExit((contractId) => exits.push(contractId));
    const specs = await Promise.all([1, 2, 3].map((id) => bench.spec(id)));
    await Promise.all(specs.map((spec) => host.start(spec)));
    await host.stop(3);
    process.kill(readRun(machineFolder(bench.home, 2))?.first.pid ?? 0, "SIGKILL");
    await until(() => exits.length > 0, "the exit is reported");
    expect([exits, host.isRunning(1), host.isRunning(2)]).toEqual([[2], true, false]);
    await host.start(specs[1] as MachineSpec);
    expect(host.isRunning(2)).toBe(true);
    expect(exits).toEqual([2]);
  });

  test("obey calls for contracts that nobody has heard of", async () => {
    await host.stop(99);
    await host.remove(99);
    host.setAuthorizedKeys(99, []);
    host.setFault(99, null);
    expect(host.containerLog(99)).toBe("");
    expect(host.isRunning(99)).toBe(false);
    expect(host.usage(99)).toEqual({ diskBytes: 0, gpuUtil: 0, receivedBytes: 0, sentBytes: 0 });
  });

  test("say that a port is taken, and leave nothing running", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await until(() => server.listening, "the server listens");
    const spec = await bench.spec(1, { forwards: [{ container: 22, host: (server.address() as AddressInfo).port }] });
    await expect(host.start(spec)).rejects.toMatchObject({ code: "EADDRINUSE" });
    expect(host.isRunning(1)).toBe(false);
    expect(tracesOf(bench.home)).toHaveLength(1);
    server.close();
  });

  test("end together, with everything of theirs", async () => {
    const specs = await Promise.all([1, 2].map((id) => bench.spec(id)));
    await Promise.all(specs.map((spec) => host.start(spec)));
    await ssh(login(specs[0] as MachineSpec), ["setsid sleep 1000 > /dev/null 2>&1 &"]);
    await host.close({ endMachines: true });
    expect(tracesOf(bench.home)).toEqual([]);
  });
});

describe.skipIf(!canIsolate)("after the daemon was killed", () => {
  let bench: Bench;
  beforeEach(() => {
    bench = openBench();
  });
  afterEach(() => bench.close());

  test("machines go on, are taken over on the same ports, and those nobody wants are ended", async () => {
    const daemon = await startDaemon([process.execPath, DAEMON, bench.home]);
    const [kept, unwanted, stopped] = await Promise.all([1, 2, 3].map((id) => bench.spec(id)));
    if (!kept || !unwanted || !stopped) throw new Error("three specs were asked for");
    for (const spec of [kept, unwanted, stopped]) await daemon.call("start", spec);
    const login = { port: kept.forwards[0]?.host ?? 0, key: bench.key };
    await ssh(login, ["(setsid sleep 1000 > /dev/null 2>&1 &)"]);
    await ssh({ ...login, port: stopped.forwards[0]?.host ?? 0 }, ["echo kept > /workspace/kept"]);
    await daemon.call("stop", 3);
    const sent = ((await daemon.call("usage", 3)) as { sentBytes: number }).sentBytes;
    await killHard(daemon.process);
    expect((await ssh(login, ["true"])).stderr).toContain("Connection refused");

    const host = await bench.host();
    const exits: number[] = [];
    host.onExit((contractId) => exits.push(contractId));
    await host.recover([kept]);
    expect([1, 2, 3].map((id) => host.isRunning(id))).toEqual([true, false, false]);
    expect((await ssh(login, ["ps -eo args | grep -c '^sleep 1000'"])).stdout).toBe("1\n");
    expect(tracesOf(bench.home).filter((trace) => trace.includes("-2"))).toEqual([]);
    expect(host.usage(3).sentBytes).toBe(sent);
    await host.start(stopped);
    expect((await ssh({ ...login, port: stopped.forwards[0]?.host ?? 0 }, ["cat /workspace/kept"])).stdout).toBe(
      "kept\n",
    );
    process.kill(readRun(machineFolder(bench.home, 1))?.first.pid ?? 0, "SIGKILL");
    await until(() => exits.includes(1), "the exit of a machine that was taken over is reported");
    await host.close({ endMachines: true });
    expect(tracesOf(bench.home)).toEqual([]);
  });

  test("one that was just starting is cleaned up", async () => {
    const daemon = await startDaemon([process.execPath, DAEMON, bench.home]);
    const spec = await bench.spec(1);
    daemon.call("start", spec).catch(() => {});
    await until(() => tracesOf(bench.home).some((trace) => trace.startsWith("processes")), "a process of it is there");
    await killHard(daemon.process);
    const host = await bench.host();
    await host.recover([]);
    expect(tracesOf(bench.home).filter((trace) => !trace.startsWith("link"))).toEqual([]);
    await host.start(spec);
    expect((await ssh({ port: spec.forwards[0]?.host ?? 0, key: bench.key }, ["hostname"])).stdout).toBe("C.1\n");
  });

  test("a daemon that ends in order can leave its machines running", async () => {
    const first = await bench.host();
    const spec = await bench.spec(1);
    await first.start(spec);
    await first.close({ endMachines: false });
    expect(tracesOf(bench.home)).not.toEqual([]);
    const second = await bench.host();
    await second.recover([spec]);
    expect(second.isRunning(1)).toBe(true);
  });
});

test.skipIf(!canIsolate)("two emulators with machines of the same contract id run side by side", async () => {
  const benches = [openBench(), openBench()];
  const hosts = await Promise.all(benches.map((bench) => bench.host()));
  const specs = await Promise.all(benches.map((bench) => bench.spec(1)));
  await Promise.all(hosts.map((host, index) => host.start(specs[index] as MachineSpec)));
  expect(hosts[0]?.apiUrl(1)).not.toBe(hosts[1]?.apiUrl(1));
  await hosts[0]?.close({ endMachines: true });
  expect(tracesOf(benches[0]?.home ?? "")).toEqual([]);
  expect((await ssh({ port: specs[1]?.forwards[0]?.host ?? 0, key: benches[1]?.key ?? "" }, ["hostname"])).stdout).toBe(
    "C.1\n",
  );
  for (const bench of benches) await bench.close();
});
