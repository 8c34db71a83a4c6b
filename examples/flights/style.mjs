/** The style sheet of the picture, for light and dark surroundings. */
export const STYLE = `
  svg { color-scheme: light dark }
  text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2933 }
  .background { fill: #ffffff }
  .title { font-size: 20px; font-weight: 600 }
  .panel-title { font-weight: 600 }
  .label, .tick { fill: #52606d }
  .tick { font-size: 12px }
  .end { text-anchor: end }
  .middle { text-anchor: middle }
  .axis { stroke: #7b8794 }
  .grid { stroke: #e4e7eb }
  .curve { fill: none; stroke-width: 2; stroke-linejoin: round }
  .memory { stroke: #c2410c }
  .pageout { stroke: #0369a1 }
  .marker { stroke-width: 1; stroke-dasharray: 1 3; opacity: 0.7 }
  .base { stroke: #7b8794; stroke-dasharray: 6 4 }
  .budget { stroke: #15803d; stroke-width: 1.5; stroke-dasharray: 6 4 }
  .strip { stroke-width: 1 }
  text.memory { fill: #c2410c; stroke: none }
  text.pageout { fill: #0369a1; stroke: none }
  text.budget { fill: #15803d; stroke: none }
  rect.memory { fill: #fdeee3 }
  rect.pageout { fill: #e0f0fa }
  @media (prefers-color-scheme: dark) {
    text { fill: #e4e7eb }
    .background { fill: #12181f }
    .label, .tick { fill: #9aa5b1 }
    .axis { stroke: #7b8794 }
    .grid { stroke: #28323d }
    .memory { stroke: #fb923c }
    .pageout { stroke: #38bdf8 }
    .budget { stroke: #4ade80 }
    text.memory { fill: #fb923c }
    text.pageout { fill: #38bdf8 }
    text.budget { fill: #4ade80 }
    rect.memory { fill: #3b2415 }
    rect.pageout { fill: #10303f }
  }`
