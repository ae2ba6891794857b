import { expect, test } from "vitest";
import { generateCatalogue } from "../../../../emulator/market/catalogue.ts";
import { listingsFor } from "../../../../emulator/market/listing.ts";
import { offerRow } from "../../../../emulator/market/offer-row.ts";
import { cheapest, openTestMarket } from "../../../helpers/market.ts";

const SEEDS = [0, 1, 2, 3, 42, 2 ** 40];

test.each(SEEDS)("offers a whole market with seed %d", (seed) => {
  const { slots, machines } = generateCatalogue(seed);
  const distinct = <T>(values: T[]) => new Set(values).size;
  expect(slots.length).toBeGreaterThanOrEqual(100);
  expect(distinct(slots.map((slot) => slot.machine.gpu.name))).toBeGreaterThanOrEqual(10);
  expect(distinct(machines.map((machine) => machine.place.slice(-2)))).toBeGreaterThanOrEqual(8);
  expect(distinct(slots.map((slot) => slot.gpuIds.length))).toBe(4);
  expect(slots.filter((slot) => slot.machine.verification !== "verified").length).toBeGreaterThanOrEqual(5);
  expect(slots.filter((slot) => slot.machine.reliability < 0.9).length).toBeGreaterThanOrEqual(3);
  expect(slots.some((slot) => slot.machine.directPorts === 0)).toBe(true);
  for (const slot of slots) {
    const [low, high] = slot.machine.gpu.price;
    const perGpu = slot.basePrice / slot.gpuIds.length;
    expect(perGpu).toBeGreaterThanOrEqual(low * 0.8);
    expect(perGpu).toBeLessThanOrEqual(high * 1.01);
  }
});

test("cuts each machine's GPUs into slices without overlap", () => {
  const { slots, machines } = generateCatalogue(1);
  for (const machine of machines) {
    const ids = slots.filter((slot) => slot.machine === machine).flatMap((slot) => slot.gpuIds);
    expect(ids.sort((a, b) => a - b)).toEqual(Array.from({ length: machine.gpuCount }, (_, i) => i));
  }
});

test("makes the same market from the same seed and another from another", () => {
  expect(generateCatalogue(7)).toEqual(generateCatalogue(7));
  expect(generateCatalogue(7).slots.map((slot) => slot.basePrice)).not.toEqual(
    generateCatalogue(8).slots.map((slot) => slot.basePrice),
  );
});

test.each(SEEDS)("has enough usual machines for ten instances at once with seed %d", (seed) => {
  const usual = generateCatalogue(seed).slots.filter(
    ({ gpuIds, basePrice, machine }) =>
      gpuIds.length === 1 &&
      ["RTX 3090", "RTX 4090"].includes(machine.gpu.name) &&
      machine.verification === "verified" &&
      machine.reliability >= 0.95 &&
      machine.inetDownMbps >= 200 &&
      machine.cuda >= 12.4 &&
      basePrice < 0.45,
  );
  expect(usual.length).toBeGreaterThanOrEqual(12);
});

test("gives every offer all its fields, with the storage in the price", async () => {
  const market = await openTestMarket();
  const t = market.world.market.settledAt;
  for (const listing of listingsFor(market.world, market.account.id, t)) {
    const row = offerRow(listing, { type: "on-demand", allocatedStorage: 10 }, t, false);
    for (const field of OFFER_FIELDS) expect(row, field).toHaveProperty(field);
    expect(Number.isInteger(row.gpu_ram)).toBe(true);
    expect(row.dph_total).toBeCloseTo((row.dph_base as number) + ((row.storage_cost as number) * 10) / 720, 5);
    expect(row.min_bid).toBeLessThan(row.dph_base as number);
  }
});

test("shows the same ids to bidders, with the bid's prices", async () => {
  const market = await openTestMarket();
  const listing = cheapest(market);
  const t = market.world.market.settledAt;
  const onDemand = offerRow(listing, { type: "on-demand", allocatedStorage: 8 }, t, false);
  const bid = offerRow(listing, { type: "bid", allocatedStorage: 8 }, t, false);
  expect(bid.id).toBe(onDemand.id);
  expect(bid.is_bid).toBe(true);
  expect(bid.dph_base).toBe(onDemand.min_bid);
});

// biome-ignore format: a list of words
const OFFER_FIELDS = [
  "id", "ask_contract_id", "bundle_id", "bundled_results", "machine_id", "host_id", "gpu_name", "gpu_arch", "num_gpus", "gpu_frac", "gpu_ids", "gpu_ram",
  "gpu_total_ram", "gpu_mem_bw", "gpu_lanes", "gpu_max_power", "gpu_max_temp", "gpu_display_active", "bw_nvlink", "compute_cap", "cuda_max_good",
  "driver_version", "driver_vers", "total_flops", "dlperf", "dlperf_per_dphtotal", "flops_per_dphtotal", "score", "cpu_name", "cpu_arch", "cpu_cores",
  "cpu_cores_effective", "cpu_ghz", "cpu_ram", "has_avx", "mobo_name", "pci_gen", "pcie_bw", "disk_name", "disk_space", "disk_bw", "inet_up", "inet_down",
  "inet_up_cost", "inet_down_cost", "internet_up_cost_per_tb", "internet_down_cost_per_tb", "direct_port_count", "static_ip", "public_ipaddr",
  "geolocation", "geolocode", "hosting_type", "verification", "vericode", "reliability", "reliability2", "reliability_mult", "expected_reliability",
  "rentable", "rented", "external", "is_bid", "min_bid", "dph_base", "dph_total", "dph_total_adj", "storage_cost", "storage_total_cost",
  "discount_rate", "discounted_hourly", "discounted_dph_total", "credit_discount_max", "vram_costperhour", "search", "instance", "duration",
  "start_date", "end_date", "time_remaining", "time_remaining_isbid", "os_version", "vms_enabled", "is_vm_deverified", "resource_type", "cluster_id",
  "avail_vol_ask_id", "avail_vol_dph", "avail_vol_size", "nw_disk_min_bw", "nw_disk_avg_bw", "nw_disk_max_bw", "rn", "logo", "webpage", "hostname",
];
