import { expect, test } from "vitest";
import { computeCapability, deviceName, gpuLoad, gpuSettings } from "../../../../emulator/machine/gpu.ts";

test.each([
  ["RTX 3090", 24576, "NVIDIA GeForce RTX 3090", "8.6"],
  ["RTX 4070S Ti", 16376, "NVIDIA GeForce RTX 4070 Ti SUPER", "8.9"],
  ["RTX 5090", 32607, "NVIDIA GeForce RTX 5090", "12.0"],
  ["RTX A6000", 49140, "NVIDIA RTX A6000", "8.6"],
  ["RTX 6000Ada", 49140, "NVIDIA RTX 6000 Ada Generation", "8.9"],
  ["A100 SXM4", 81920, "NVIDIA A100-SXM4-80GB", "8.0"],
  ["A100 PCIE", 40960, "NVIDIA A100 40GB PCIe", "8.0"],
  ["H100 SXM", 81559, "NVIDIA H100 80GB HBM3", "9.0"],
  ["H200", 143771, "NVIDIA H200", "9.0"],
  ["L40S", 46068, "NVIDIA L40S", "8.9"],
  ["B200", 183359, "NVIDIA B200", "10.0"],
])("calls a %s with %i MiB as the driver does", (name, ramMB, driverName, capability) => {
  expect(deviceName(name, ramMB)).toBe(driverName);
  expect(computeCapability(name)).toBe(capability);
});

test.each([
  [0, 0],
  [0.01, 0],
  [0.25, 25],
  [1, 100],
  [7.5, 100],
])("shows %d busy cores as %i percent", (cores, percent) => {
  expect(gpuLoad(cores)).toBe(percent);
});

test("writes settings that a shell can read, with as many ids as GPUs, the same at each start", () => {
  const spec = {
    contractId: 5,
    hostname: "C.5",
    gpus: { name: "RTX 3090", count: 2, ramMB: 24576, maxPowerW: 350, driver: "550.54.15", cuda: "12.4" },
    diskGB: 10,
    env: {},
    onstart: null,
    authorizedKeys: [],
    forwards: [],
  };
  expect(gpuSettings(spec)).toBe(gpuSettings(spec));
  expect(gpuSettings(spec)).toMatchInlineSnapshot(`
    "GPU_NAME='NVIDIA GeForce RTX 3090'
    GPU_COUNT='2'
    GPU_MEMORY_MB='24576'
    GPU_POWER_W='350'
    GPU_DRIVER='550.54.15'
    GPU_CUDA='12.4'
    GPU_CAPABILITY='8.6'
    GPU_FANLESS='0'
    GPU_UUIDS='GPU-635c4b64-142b-2b7e-5983-2617a1d30420 GPU-cbc5b498-d9db-5352-eb3a-4a5ee769bf68'
    GPU_BUSES='00000000:01:00.0 00000000:21:00.0'
    "
  `);
});
