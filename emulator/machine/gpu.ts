/**
 * The facts that a machine's `nvidia-smi` stand-in (image/nvidia-smi.sh) reports, and the one rule of its load:
 * a GPU is as busy as the machine's processes keep the CPU, one busy core being 100 %.
 */
import { createHash } from "node:crypto";
import type { MachineSpec } from "./types.ts";

/** Shell assignments that image/nvidia-smi.sh reads from the file beside it. */
export function gpuSettings(spec: MachineSpec): string {
  const { name, count, ramMB, maxPowerW, driver, cuda } = spec.gpus;
  const indices = Array.from({ length: count }, (_, index) => index);
  const settings: Record<string, string | number> = {
    GPU_NAME: deviceName(name, ramMB),
    GPU_COUNT: count,
    GPU_MEMORY_MB: ramMB,
    GPU_POWER_W: maxPowerW,
    GPU_DRIVER: driver,
    GPU_CUDA: cuda,
    GPU_CAPABILITY: computeCapability(name),
    GPU_FANLESS: isServerGpu(name) ? 1 : 0,
    GPU_UUIDS: indices.map((index) => gpuUuid(spec.contractId, index)).join(" "),
    GPU_BUSES: indices.map(busId).join(" "),
  };
  return Object.entries(settings)
    .map(([key, value]) => `${key}='${String(value).replaceAll("'", "")}'\n`)
    .join("");
}

/** The GPU load in percent for this many busy CPU cores. Below 2 % of a core it is idle. */
export function gpuLoad(busyCores: number): number {
  return busyCores < 0.02 ? 0 : Math.min(100, Math.round(busyCores * 100));
}

/** What the driver calls the GPU that the market lists under a short name. */
export function deviceName(name: string, ramMB: number): string {
  const gigabytes = Math.round(ramMB / 1024);
  const known: [RegExp, string][] = [
    [/^RTX 6000Ada$/, "NVIDIA RTX 6000 Ada Generation"],
    [/^RTX PRO|^RTX A\d/, `NVIDIA ${name}`],
    [/^(RTX|GTX) /, `NVIDIA GeForce ${name.replace("S Ti", " Ti SUPER").replace(/(\d)S\b/, "$1 SUPER")}`],
    [/^A100 PCIE$/, `NVIDIA A100 ${gigabytes}GB PCIe`],
    [/^A100 SXM4$/, `NVIDIA A100-SXM4-${gigabytes}GB`],
    [/^H100 PCIE$/, "NVIDIA H100 PCIe"],
    [/^H100 (SXM|NVL)/, `NVIDIA H100 ${gigabytes}GB HBM3`],
  ];
  return known.find(([pattern]) => pattern.test(name))?.[1] ?? `NVIDIA ${name}`;
}

/** CUDA compute capability, e.g. "8.6". */
export function computeCapability(name: string): string {
  const known: [RegExp, string][] = [
    [/^B200|^B300|^GB200/, "10.0"],
    [/^RTX 50|^RTX PRO/, "12.0"],
    [/^H100|^H200|^GH200/, "9.0"],
    [/^RTX 40|Ada$|^L4/, "8.9"],
    [/^RTX 30|^RTX A\d|^A10$|^A40$|^A16$/, "8.6"],
    [/^A100|^A800|^A30$/, "8.0"],
    [/^RTX 20|^GTX 16|^T4|^Quadro RTX|^Titan RTX/, "7.5"],
    [/^V100|^Tesla V100|^Titan V/, "7.0"],
    [/^GTX 10|^P40/, "6.1"],
    [/^P100/, "6.0"],
  ];
  return known.find(([pattern]) => pattern.test(name))?.[1] ?? "8.6";
}

function isServerGpu(name: string): boolean {
  return /^(A100|A800|A30|A40|H100|H200|GH200|B200|GB200|L4|V100|P100|T4)/.test(name);
}

/** The same contract keeps its GPUs' ids over stops and starts. */
function gpuUuid(contractId: number, index: number): string {
  const hex = createHash("sha256").update(`gpu ${contractId} ${index}`).digest("hex");
  return `GPU-${[hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)].join("-")}`;
}

function busId(index: number): string {
  return `00000000:${(index * 32 + 1).toString(16).padStart(2, "0").toUpperCase()}:00.0`;
}
