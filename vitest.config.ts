import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";

/** Integration and e2e files each start daemons and engines, several processes a file: no more files than cores. */
const heavyWorkers = Math.max(1, Math.min(4, availableParallelism()));

/** Unit tests first, since their failures explain the others; then one kind after the other. */
const inOrder = (groupOrder: number) => ({ groupOrder });

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "unit",
          include: ["test/unit/**/*.test.ts"],
          testTimeout: 10_000,
          sequence: inOrder(1),
        },
      },
      {
        test: {
          name: "integration",
          include: ["test/integration/**/*.test.ts"],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          maxWorkers: heavyWorkers,
          sequence: inOrder(2),
        },
      },
      {
        test: {
          name: "e2e",
          include: ["test/e2e/**/*.test.ts"],
          testTimeout: 180_000,
          hookTimeout: 120_000,
          maxWorkers: heavyWorkers,
          sequence: inOrder(3),
        },
      },
    ],
  },
});
