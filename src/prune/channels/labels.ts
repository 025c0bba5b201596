// What is known of the channels of one value: on which axis they are, and which set each belongs to.

/** The channels along one axis of a value. */
export interface Label {
  channels: Int32Array;
  /** The axis, counted from the back: -1 is the last. */
  axis: number;
  /** Undefined where it is not known. */
  rank: number | undefined;
  /** Each channel is several neighbours, or a pattern of places, after a Flatten. */
  spread: boolean;
  /** All axes after the channels have length 1, as after global pooling. */
  pointwise: boolean;
}

/** A label of channels on an axis that is counted from the back. */
export function labelOf(channels: Int32Array, axis: number, rank: number | undefined): Label {
  return { channels, axis, rank, spread: false, pointwise: axis === -1 };
}

/** The axis counted from the front; undefined where the rank is not known. */
export function frontAxis({ axis, rank }: Label): number | undefined {
  return rank === undefined ? undefined : axis + rank;
}

/** Another axis of the same value, counted from the back; undefined where that is not known. */
export function backAxis({ rank }: Label, axis: number): number | undefined {
  if (axis < 0) return axis;
  return rank === undefined ? undefined : axis - rank;
}

/** Whether two labels lie on the same axis with as many channels, arranged alike. */
export function sameLayout(a: Label, b: Label): boolean {
  const alike = a.spread === b.spread && (!a.spread || a.channels === b.channels);
  return a.axis === b.axis && a.channels.length === b.channels.length && alike;
}
