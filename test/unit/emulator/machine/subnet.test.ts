import fc from "fast-check";
import { expect, test } from "vitest";
import {
  addressAt,
  chooseSubnet,
  formatAddress,
  hostNumber,
  overlap,
  parseRoutes,
  parseSubnet,
} from "../../../../emulator/machine/subnet.ts";

const text = (subnet: { base: number; prefix: number } | undefined) =>
  subnet && `${formatAddress(subnet.base)}/${subnet.prefix}`;

test("takes a place in 10/8 that follows from the seed", () => {
  expect(text(chooseSubnet(0, []))).toBe("10.0.0.0/22");
  expect(text(chooseSubnet(5, []))).toBe("10.0.20.0/22");
  expect(text(chooseSubnet(2 ** 32 - 1, []))).toBe("10.255.252.0/22");
});

test("steps aside for a network that is there", () => {
  expect(text(chooseSubnet(0, [parseSubnet("10.0.1.7/24")]))).toBe("10.0.148.0/22");
});

test("leaves 10/8 to a company network that has all of it", () => {
  expect(text(chooseSubnet(1, [parseSubnet("10.0.0.0/8")]))).toBe("172.16.4.0/22");
  expect(text(chooseSubnet(1, ["10.0.0.0/8", "172.16.0.0/12"].map(parseSubnet)))).toBe("198.18.4.0/22");
});

test("finds nothing where everything is taken", () => {
  expect(chooseSubnet(1, [parseSubnet("0.0.0.0/0")])).toBeUndefined();
});

test("never overlaps a taken network", () => {
  const networks = fc.array(
    fc.record({ base: fc.integer({ min: 0, max: 2 ** 32 - 1 }), prefix: fc.integer({ min: 1, max: 32 }) }),
  );
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 32 - 1 }), networks, (seed, taken) => {
      const chosen = chooseSubnet(seed, taken);
      return chosen === undefined || !taken.some((other) => overlap(chosen, other));
    }),
  );
});

test("numbers addresses inside the subnet", () => {
  const subnet = parseSubnet("10.1.4.0/22");
  expect(addressAt(subnet, 1)).toBe("10.1.4.1");
  expect(addressAt(subnet, 1022)).toBe("10.1.7.254");
  expect(hostNumber(subnet, "10.1.7.254")).toBe(1022);
});

test("reads the kernel's routes and passes over the default route", () => {
  const table = [
    "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT",
    "eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\t0\t0\t0",
    "docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0",
    "tun0\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0",
  ].join("\n");
  expect(parseRoutes(table).map(text)).toEqual(["172.17.0.0/16", "10.0.0.0/8"]);
});
