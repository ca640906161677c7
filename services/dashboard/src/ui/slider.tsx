import { Slider as Radix } from "radix-ui";

type Props = {
  values: number[];
  /** What each thumb is called, and what its value says. */
  labels: string[];
  says: (value: number) => string;
  min: number;
  max: number;
  step: number;
  onChange: (values: number[]) => void;
};

export function Slider({ values, labels, says, min, max, step, onChange }: Props) {
  return (
    <Radix.Root
      value={values}
      min={min}
      max={max}
      step={step}
      onValueChange={onChange}
      className="relative flex h-6 w-full touch-none items-center select-none"
    >
      <Radix.Track className="relative h-1.5 grow rounded-full bg-line">
        <Radix.Range className="absolute h-full rounded-full bg-accent" />
      </Radix.Track>
      {values.map((value, place) => (
        <Radix.Thumb
          key={labels[place]}
          aria-label={labels[place]}
          aria-valuetext={says(value)}
          className="block size-5 cursor-grab rounded-full border-2 border-accent bg-panel shadow active:cursor-grabbing"
        />
      ))}
    </Radix.Root>
  );
}
