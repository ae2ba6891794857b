/**
 * The parts that the market's machines are made of. GPU figures are data-sheet values; prices are what such
 * machines asked on the real market in 2025 and 2026, per GPU and hour.
 */

export interface GpuModel {
  name: string;
  ramMB: number;
  /** GB/s. */
  memoryBandwidth: number;
  maxPowerW: number;
  /** CUDA compute capability x 100. */
  computeCap: number;
  /** TFLOPS of one GPU. */
  tflops: number;
  /** The market's own speed score of one GPU. */
  dlperf: number;
  /** US$ per GPU and hour, on demand: low and high. */
  price: readonly [number, number];
  nvlink: number;
  pciGen: number;
  /** How many machines, and how each one's GPUs are cut into offers. */
  machines: readonly (readonly number[])[];
}

const one = [1] as const;
const pair = [1, 1] as const;
const quad = [2, 1, 1] as const;
const octo = [4, 2, 1, 1] as const;
const whole2 = [2] as const;
const whole4 = [4] as const;
const whole8 = [8] as const;
const dgx = [4, 4] as const;

// biome-ignore format: a table
export const GPU_MODELS: readonly GpuModel[] = [
  { name: "RTX 3060", ramMB: 12288, memoryBandwidth: 331.7, maxPowerW: 170, computeCap: 860, tflops: 12.7, dlperf: 12.9, price: [0.05, 0.09], nvlink: 0, pciGen: 4, machines: [one, one, pair, quad] },
  { name: "RTX 3080", ramMB: 10240, memoryBandwidth: 711.0, maxPowerW: 320, computeCap: 860, tflops: 29.8, dlperf: 26.4, price: [0.08, 0.13], nvlink: 0, pciGen: 4, machines: [one, pair] },
  { name: "RTX 3090", ramMB: 24576, memoryBandwidth: 836.4, maxPowerW: 350, computeCap: 860, tflops: 35.6, dlperf: 33.2, price: [0.14, 0.24], nvlink: 0, pciGen: 4, machines: [one, one, one, pair, pair, pair, quad, quad, octo, whole4] },
  { name: "RTX 4070S Ti", ramMB: 16376, memoryBandwidth: 617.5, maxPowerW: 285, computeCap: 890, tflops: 44.1, dlperf: 42.0, price: [0.12, 0.18], nvlink: 0, pciGen: 4, machines: [one, pair] },
  { name: "RTX 4080", ramMB: 16376, memoryBandwidth: 655.0, maxPowerW: 320, computeCap: 890, tflops: 48.7, dlperf: 47.5, price: [0.16, 0.24], nvlink: 0, pciGen: 4, machines: [one, one] },
  { name: "RTX 4090", ramMB: 24564, memoryBandwidth: 912.1, maxPowerW: 450, computeCap: 890, tflops: 82.6, dlperf: 98.4, price: [0.27, 0.42], nvlink: 0, pciGen: 4, machines: [one, one, one, one, pair, pair, pair, quad, quad, octo, octo, whole8] },
  { name: "RTX 5090", ramMB: 32607, memoryBandwidth: 1512.3, maxPowerW: 575, computeCap: 1200, tflops: 104.8, dlperf: 152.0, price: [0.42, 0.69], nvlink: 0, pciGen: 5, machines: [one, one, pair, quad, whole8] },
  { name: "RTX A4000", ramMB: 16376, memoryBandwidth: 386.0, maxPowerW: 140, computeCap: 860, tflops: 19.2, dlperf: 18.0, price: [0.08, 0.13], nvlink: 0, pciGen: 4, machines: [one, one, quad] },
  { name: "RTX A5000", ramMB: 24564, memoryBandwidth: 659.3, maxPowerW: 230, computeCap: 860, tflops: 27.8, dlperf: 26.1, price: [0.16, 0.25], nvlink: 0, pciGen: 4, machines: [one, pair, quad] },
  { name: "RTX A6000", ramMB: 49140, memoryBandwidth: 650.1, maxPowerW: 300, computeCap: 860, tflops: 38.7, dlperf: 36.7, price: [0.35, 0.52], nvlink: 0, pciGen: 4, machines: [one, pair, quad] },
  { name: "RTX 6000Ada", ramMB: 49140, memoryBandwidth: 799.5, maxPowerW: 300, computeCap: 890, tflops: 91.1, dlperf: 97.0, price: [0.52, 0.79], nvlink: 0, pciGen: 4, machines: [one, whole2] },
  { name: "L40S", ramMB: 46068, memoryBandwidth: 729.0, maxPowerW: 350, computeCap: 890, tflops: 91.6, dlperf: 99.5, price: [0.47, 0.79], nvlink: 0, pciGen: 4, machines: [one, pair, whole4] },
  { name: "A100 PCIE", ramMB: 81920, memoryBandwidth: 1653.2, maxPowerW: 300, computeCap: 800, tflops: 19.5, dlperf: 54.2, price: [0.68, 0.95], nvlink: 0, pciGen: 4, machines: [one, pair, whole4] },
  { name: "A100 SXM4", ramMB: 81920, memoryBandwidth: 1742.8, maxPowerW: 400, computeCap: 800, tflops: 19.5, dlperf: 58.1, price: [0.74, 1.18], nvlink: 600, pciGen: 4, machines: [dgx, whole8, octo] },
  { name: "H100 PCIE", ramMB: 81559, memoryBandwidth: 1785.0, maxPowerW: 350, computeCap: 900, tflops: 51.2, dlperf: 118.0, price: [1.55, 1.99], nvlink: 0, pciGen: 5, machines: [one, pair] },
  { name: "H100 SXM", ramMB: 81559, memoryBandwidth: 2915.6, maxPowerW: 700, computeCap: 900, tflops: 66.9, dlperf: 152.3, price: [1.69, 2.4], nvlink: 900, pciGen: 5, machines: [octo, dgx, whole8] },
  { name: "H200", ramMB: 143771, memoryBandwidth: 4101.0, maxPowerW: 700, computeCap: 900, tflops: 66.9, dlperf: 165.9, price: [2.19, 2.99], nvlink: 900, pciGen: 5, machines: [octo, whole8] },
  { name: "B200", ramMB: 183359, memoryBandwidth: 6550.0, maxPowerW: 1000, computeCap: 1000, tflops: 75.3, dlperf: 260.0, price: [3.1, 4.2], nvlink: 1800, pciGen: 5, machines: [whole8] },
];

/** City or region and country, as offers show them, each with the share of hosts there. */
// biome-ignore format: a table
export const PLACES: readonly (readonly [string, number])[] = [
  ["California, US", 5], ["Texas, US", 5], ["Utah, US", 2], ["New York, US", 2], ["Washington, US", 2], ["Quebec, CA", 3], ["Ontario, CA", 2],
  ["Oslo, NO", 3], ["Sweden, SE", 3], ["Iceland, IS", 2], ["Finland, FI", 1], ["Czechia, CZ", 3], ["Poland, PL", 3], ["Bulgaria, BG", 2],
  ["Germany, DE", 3], ["France, FR", 2], ["Netherlands, NL", 2], ["United Kingdom, GB", 3], ["Spain, ES", 2], ["Japan, JP", 2], ["South Korea, KR", 2],
  ["Taiwan, TW", 2], ["India, IN", 1], ["Vietnam, VN", 2], ["Australia, AU", 1], ["Brazil, BR", 1], ["South Africa, ZA", 1], ["Ukraine, UA", 2],
];

export interface Cpu {
  name: string;
  /** Threads of one socket. */
  cores: number;
  ghz: number;
  board: string;
}

/** For machines of one or two GPUs, and for larger ones. */
// biome-ignore format: a table
export const DESKTOP_CPUS: readonly Cpu[] = [
  { name: "AMD Ryzen 9 5950X 16-Core Processor", cores: 32, ghz: 3.4, board: "ROG STRIX B550-F" },
  { name: "AMD Ryzen 9 7950X 16-Core Processor", cores: 32, ghz: 4.5, board: "X670E Taichi" },
  { name: "Core i9-13900K", cores: 32, ghz: 3.0, board: "Z790 AORUS ELITE" },
  { name: "Xeon E5-2680 v4", cores: 56, ghz: 2.4, board: "X10DRi" },
];
// biome-ignore format: a table
export const SERVER_CPUS: readonly Cpu[] = [
  { name: "AMD EPYC 7443 24-Core Processor", cores: 48, ghz: 2.85, board: "H12SSL-i" },
  { name: "AMD EPYC 7763 64-Core Processor", cores: 128, ghz: 2.45, board: "ROMED8-2T" },
  { name: "AMD EPYC 9354 32-Core Processor", cores: 64, ghz: 3.25, board: "H13SSL-N" },
  { name: "Xeon Platinum 8480+", cores: 224, ghz: 2.0, board: "X13DEG-OA" },
];

/** Driver and the newest CUDA that it runs, oldest first. */
export const DRIVERS: readonly (readonly [string, number])[] = [
  ["535.183.01", 12.2],
  ["550.127.05", 12.4],
  ["560.35.03", 12.6],
  ["565.77", 12.7],
  ["570.124.04", 12.8],
  ["575.57.08", 12.9],
  ["580.65.06", 13.0],
];

export const DISKS: readonly (readonly [string, number])[] = [
  ["Samsung SSD 980 PRO 2TB", 3200],
  ["WD_BLACK SN850X 4000GB", 4100],
  ["KINGSTON SFYRD2000G", 3700],
  ["SAMSUNG MZQL23T8HCLS-00A07", 5200],
  ["Crucial MX500", 480],
];
