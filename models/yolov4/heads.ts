// Where the detection heads sit and which anchors they use: facts of the published yolov4.cfg and yolov4-tiny.cfg of
// Darknet. A head is an output of the graph; what its numbers mean is said here and written into the model's metadata.

/** One detection head. Its output is [N, anchors * (5 + classes), size / stride, size / stride]. */
export interface Head {
  /** Name of the graph output. */
  readonly output: string;
  /** Pixels of the input per cell. */
  readonly stride: number;
  /** Anchor boxes [width, height] in pixels of the network's input. */
  readonly anchors: readonly (readonly [width: number, height: number])[];
  /** `scale_x_y`: how far the decoded centre may leave its cell. */
  readonly scaleXY: number;
}

/** Heads of YOLOv4, in the order of the graph's outputs. */
export const yolov4Heads = [
  {
    output: 'stride8',
    stride: 8,
    anchors: [
      [12, 16],
      [19, 36],
      [40, 28],
    ],
    scaleXY: 1.2,
  },
  {
    output: 'stride16',
    stride: 16,
    anchors: [
      [36, 75],
      [76, 55],
      [72, 146],
    ],
    scaleXY: 1.1,
  },
  {
    output: 'stride32',
    stride: 32,
    anchors: [
      [142, 110],
      [192, 243],
      [459, 401],
    ],
    scaleXY: 1.05,
  },
] as const satisfies readonly Head[];

/** Heads of YOLOv4-tiny. The published file gives anchor 81 x 82 to both heads and 10 x 14 to none. */
export const yolov4TinyHeads = [
  {
    output: 'stride16',
    stride: 16,
    anchors: [
      [23, 27],
      [37, 58],
      [81, 82],
    ],
    scaleXY: 1.05,
  },
  {
    output: 'stride32',
    stride: 32,
    anchors: [
      [81, 82],
      [135, 169],
      [344, 319],
    ],
    scaleXY: 1.05,
  },
] as const satisfies readonly Head[];

/** Channels of a head: for each anchor x, y, width, height, objectness and the classes. */
export function headChannels(head: Head, classes: number): number {
  return head.anchors.length * (5 + classes);
}
