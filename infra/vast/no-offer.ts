/** The message for "nothing fits": which condition removed how many offers, and the smallest change that helps. */
import { UserError } from "../../common/errors.ts";
import { planRent, type RentRequest, smallestRelaxation } from "./offers.ts";
import type { Offer } from "./wire.ts";

/**
 * `isTaken` offers fit but are being rented by others or failed before; they are named apart. `needed` is for how many
 * machines offers were looked for.
 */
export function noOfferError(
  request: RentRequest,
  offers: readonly Offer[],
  isTaken: (offer: Offer) => boolean = () => false,
  needed = 1,
): UserError {
  const plan = planRent(request, offers);
  if (offers.length === 0) {
    return new UserError("VL_NO_OFFER", {
      what: "the market shows no offers at all",
      hint: "wait a minute, then run the command again",
    });
  }
  const taken = plan.candidates.filter(({ offer }) => isTaken(offer)).length;
  const free = plan.candidates.length - taken;
  if (free >= needed) {
    return new UserError("VL_NO_OFFER", {
      what: "the offers changed while they were looked through",
      hint: "run the command again",
    });
  }
  const lines = [...plan.rejections]
    .sort((a, b) => b.count - a.count)
    .map(({ condition, wanted, count }) => `\n    vastlane:${condition} (${wanted}) rules out ${count}`);
  if (taken > 0) lines.push(`\n    ${taken} would fit but failed lately or are being rented right now`);
  const relaxation = smallestRelaxation(
    request,
    offers.filter((offer) => !isTaken(offer)),
  );
  return new UserError("VL_NO_OFFER", {
    what:
      free > 0
        ? `only ${free} of ${offers.length} offers ${free === 1 ? "fits" : "fit"}, for ${needed} machines`
        : `none of ${offers.length} offers fits`,
    why: lines.join(""),
    hint: relaxation
      ? `smallest single change: vastlane:${relaxation.condition} -> ${relaxation.change}, which allows a ${relaxation.offer.gpuCount}x ${relaxation.offer.gpuName} at $${relaxation.pricePerHour.toFixed(3)}/h`
      : taken > 0
        ? "wait a few minutes, then run the command again, or widen vastlane:gpu"
        : "no single change is enough: relax the two conditions that rule out most",
  });
}
