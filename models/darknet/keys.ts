// Which sections and keys of Darknet's cfg files are understood: read, without effect on what a trained network
// computes, or supported at one value only. Everything else is refused, since it would give other numbers in silence.

/** Names of sections, and what they are called here. */
export const sectionTypes = {
  net: 'net',
  network: 'net',
  convolutional: 'convolutional',
  conv: 'convolutional',
  maxpool: 'maxpool',
  max: 'maxpool',
  route: 'route',
  shortcut: 'shortcut',
  upsample: 'upsample',
  yolo: 'yolo',
} as const;

export type SectionType = (typeof sectionTypes)[keyof typeof sectionTypes];

interface Keys {
  /** Looked at. */
  readonly read: readonly string[];
  /** Have an effect unless they are this. */
  readonly neutral: Readonly<Record<string, string>>;
  /** For training, for printing or for the GPU. */
  readonly training: readonly string[];
}

const anyLayer = ['stopbackward', 'onlyforward', 'dont_update', 'burnin_update', 'train_only_bn', 'learning_rate'];

export const supportedKeys: Readonly<Record<Exclude<SectionType, 'net'>, Keys>> = {
  convolutional: {
    read: ['batch_normalize', 'filters', 'size', 'stride', 'pad', 'padding', 'groups', 'activation'],
    neutral: {
      ...{ dilation: '1', antialiasing: '0', flipped: '0', coordconv: '0', cbn: '0' },
      ...{ binary: '0', xnor: '0', bin_output: '0', sway: '0', rotate: '0', stretch: '0', stretch_sway: '0' },
      ...{ dontload: '0', dontloadscales: '0' },
    },
    training: [...anyLayer, 'dot', 'angle', 'grad_centr', 'reverse', 'assisted_excitation', 'clip', 'stream'],
  },
  maxpool: {
    read: ['size', 'stride', 'padding'],
    neutral: { maxpool_depth: '0', antialiasing: '0', maxpool_zero_nonmax: '0' },
    training: anyLayer,
  },
  route: { read: ['layers', 'groups', 'group_id'], neutral: {}, training: [...anyLayer, 'stream', 'wait_stream'] },
  shortcut: {
    read: ['from', 'activation'],
    neutral: { weights_type: 'none', weights_normalization: 'none' },
    training: anyLayer,
  },
  upsample: { read: ['stride'], neutral: { scale: '1' }, training: anyLayer },
  yolo: {
    read: ['mask', 'anchors', 'classes', 'num', 'scale_x_y'],
    neutral: { new_coords: '0' },
    training: [
      ...anyLayer,
      ...['jitter', 'resize', 'random', 'max', 'map', 'show_details', 'counters_per_class', 'focal_loss', 'max_delta'],
      ...['ignore_thresh', 'truth_thresh', 'iou_thresh', 'iou_thresh_kind', 'iou_loss', 'iou_normalizer'],
      ...['cls_normalizer', 'obj_normalizer', 'delta_normalizer', 'label_smooth_eps', 'objectness_smooth'],
      ...['nms_kind', 'beta_nms', 'embedding_layer', 'track_history_size', 'sim_thresh', 'dets_for_track'],
      ...['dets_for_show', 'track_ciou_norm'],
    ],
  },
};
