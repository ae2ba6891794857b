/** Runs the real script over a made-up /proc: its text is the interface that telemetry parses. */
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { gpuSettings } from "../../../../emulator/machine/gpu.ts";

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "vastlane-smi-"));
  cpSync(join(import.meta.dirname, "../../../../emulator/machine/image/nvidia-smi.sh"), join(folder, "nvidia-smi"));
  const gpus = { name: "RTX 3090", count: 2, ramMB: 24576, maxPowerW: 350, driver: "550.54.15", cuda: "12.4" };
  const spec = {
    contractId: 5,
    hostname: "C.5",
    gpus,
    diskGB: 10,
    env: {},
    onstart: null,
    authorizedKeys: [],
    forwards: [],
  };
  writeFileSync(join(folder, ".nvidia-smi.conf"), gpuSettings(spec));
  // A `sleep` that lets 10 ticks pass for the process 4242, so that a sample of 0.1 s sees one busy core.
  mkdirSync(join(folder, "proc/4242"), { recursive: true });
  mkdirSync(join(folder, "bin"));
  writeFileSync(join(folder, "bin/sleep"), `#!/bin/sh\ncp ${folder}/proc/next ${folder}/proc/4242/stat\n`, {
    mode: 0o755,
  });
});

afterAll(() => rmSync(folder, { recursive: true }));

/** /proc/PID/stat of a process with this much CPU time and 2 GiB of memory. */
function stat(name: string, ticks: number): string {
  const zeros = (count: number) => Array(count).fill("0").join(" ");
  return `4242 (${name}) R 1 ${zeros(9)} ${ticks} 0 ${zeros(8)} ${524288} ${zeros(20)}\n`;
}

function smi(args: string[], ticksPerSample = 0, name = "python3 (train)"): string {
  writeFileSync(join(folder, "proc/4242/stat"), stat(name, 100));
  writeFileSync(join(folder, "proc/next"), stat(name, 100 + ticksPerSample));
  return execFileSync(join(folder, "nvidia-smi"), args, {
    encoding: "utf8",
    env: {
      PATH: `${folder}/bin:${process.env.PATH}`,
      NVIDIA_SMI_PROC: `${folder}/proc`,
      NVIDIA_SMI_NOW: "2026/01/02 03:04:05.000",
    },
  });
}

test("lists its GPUs", () => {
  expect(smi(["-L"])).toMatchInlineSnapshot(`
    "GPU 0: NVIDIA GeForce RTX 3090 (UUID: GPU-635c4b64-142b-2b7e-5983-2617a1d30420)
    GPU 1: NVIDIA GeForce RTX 3090 (UUID: GPU-cbc5b498-d9db-5352-eb3a-4a5ee769bf68)
    "
  `);
});

test("answers a query with units, one line a GPU", () => {
  const fields =
    "index,name,memory.total,memory.used,utilization.gpu,temperature.gpu,power.draw,power.limit,pstate,pci.bus_id";
  expect(smi([`--query-gpu=${fields}`, "--format=csv"])).toMatchInlineSnapshot(`
    "index, name, memory.total [MiB], memory.used [MiB], utilization.gpu [%], temperature.gpu, power.draw [W], power.limit [W], pstate, pci.bus_id
    0, NVIDIA GeForce RTX 3090, 24576 MiB, 1 MiB, 0 %, 31, 24.50 W, 350.00 W, P8, 00000000:01:00.0
    1, NVIDIA GeForce RTX 3090, 24576 MiB, 1 MiB, 0 %, 31, 24.50 W, 350.00 W, P8, 00000000:21:00.0
    "
  `);
});

test("shows the load of the machine's processes, and their memory, without units when asked", () => {
  const fields = "utilization.gpu,memory.used,power.draw,temperature.gpu,clocks.sm,pstate";
  expect(smi([`--query-gpu=${fields}`, "--format=csv,noheader,nounits", "-i", "0"], 10)).toMatchInlineSnapshot(`
    "100, 2049, 322.00, 73, 1695, P2
    "
  `);
  expect(smi(["--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-i", "1"], 4)).toBe("40\n");
});

test("names the processes that compute, and no shell or sshd", () => {
  const query = ["--query-compute-apps=pid,process_name,used_memory", "--format=csv,noheader"];
  expect(smi([...query, "-i", "0"], 10)).toBe("4242, python3 (train), 2048 MiB\n");
  expect(smi([...query, "-i", "0"], 10, "sshd")).toBe("");
  expect(smi([...query, "-i", "0"], 0)).toBe("");
});

test("draws the table", () => {
  expect(smi([], 10)).toMatchInlineSnapshot(`
    "2026/01/02 03:04:05.000
    +-----------------------------------------------------------------------------------------+
    | NVIDIA-SMI 550.54.15              Driver Version: 550.54.15      CUDA Version: 12.4     |
    |-----------------------------------------+------------------------+----------------------+
    | GPU  Name                 Persistence-M | Bus-Id          Disp.A | Volatile Uncorr. ECC |
    | Fan  Temp   Perf          Pwr:Usage/Cap |           Memory-Usage | GPU-Util  Compute M. |
    |                                         |                        |               MIG M. |
    |=========================================+========================+======================|
    |   0  NVIDIA GeForce RTX 3090        On  |   00000000:01:00.0 Off |                  N/A |
    | 70%   73C    P2            322W / 350W  |    2049MiB /  24576MiB |    100%      Default |
    |                                         |                        |                  N/A |
    +-----------------------------------------+------------------------+----------------------+
    |   1  NVIDIA GeForce RTX 3090        On  |   00000000:21:00.0 Off |                  N/A |
    | 70%   73C    P2            322W / 350W  |    2049MiB /  24576MiB |    100%      Default |
    |                                         |                        |                  N/A |
    +-----------------------------------------+------------------------+----------------------+

    +-----------------------------------------------------------------------------------------+
    | Processes:                                                                              |
    |  GPU   GI   CI        PID   Type   Process name                              GPU Memory |
    |        ID   ID                                                               Usage      |
    |=========================================================================================|
    |    0   N/A  N/A       4242      C   python3 (train)                            2048MiB |
    |    1   N/A  N/A       4242      C   python3 (train)                            2048MiB |
    +-----------------------------------------------------------------------------------------+
    "
  `);
});

test.each([
  [["--query-gpu=name,colour", "--format=csv"], 2, 'Field "colour" is not a valid field to query.\n\n'],
  [["--query-gpu=name"], 2, 'Option "--format=" must be used with "csv" for queries.\n'],
  [["-i", "7", "-L"], 6, "No devices were found\n"],
  [["--magic"], 1, "Invalid combination of input arguments. Please run 'nvidia-smi -h' for help.\n"],
])("refuses %j as the driver does", (args, status, text) => {
  const result = spawnSync(join(folder, "nvidia-smi"), args, { encoding: "utf8" });
  expect([result.status, result.stdout]).toEqual([status, text]);
});
