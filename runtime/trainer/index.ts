/** Training that may be interrupted at any moment. Public as `vastlane/trainer`. */
export { type AdamWOptions, adamW, gradientNorm, sgd } from "./adamw.ts";
export { hashState, type StateHashes } from "./hash-state.ts";
export { autoInterval, type Interval, type Observed } from "./interval.ts";
export { type Jax, type JaxArray, type JaxArrays, type JaxModelOptions, jaxFunction, jaxModel } from "./jax-model.ts";
export { epochOrder, type Order } from "./order.ts";
export { countParams, filled, normal, sizeOf } from "./params.ts";
export { type RngStreams, rngOf, rngStreams } from "./rng.ts";
export { constant, type WarmupCosine, warmupCosine } from "./schedule.ts";
export { InterruptibleTrainer, type Trained, type TrainerOptions } from "./trainer.ts";
export type { Data, Grads, Model, Optimizer, Param, Params, Rng, Schedule } from "./types.ts";
