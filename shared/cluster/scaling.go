package cluster

import (
	"slices"

	"latchkey/shared/atlas"
)

// autoScalingOf is the present scaling with what a request changes.
func autoScalingOf(r *atlas.AutoScalingRequest, present atlas.AutoScaling) atlas.AutoScaling {
	if r == nil {
		return present
	}
	set := func(to *bool, from *bool) {
		if from != nil {
			*to = *from
		}
	}
	if c := r.Compute; c != nil {
		set(&present.Compute.Enabled, c.Enabled)
		set(&present.Compute.ScaleDownEnabled, c.ScaleDownEnabled)
		if c.MinInstanceSize != nil {
			present.Compute.MinInstanceSize = *c.MinInstanceSize
		}
		if c.MaxInstanceSize != nil {
			present.Compute.MaxInstanceSize = *c.MaxInstanceSize
		}
	}
	if r.DiskGB != nil {
		set(&present.DiskGB.Enabled, r.DiskGB.Enabled)
	}
	return present
}

// checkScaling demands the bounds without which scaling would have none.
func checkScaling(p atlas.Provider, a atlas.AutoScaling) error {
	c := a.Compute
	for _, size := range []string{c.MinInstanceSize, c.MaxInstanceSize} {
		if size != "" && !slices.Contains(instanceSizes[p], size) {
			return atlas.Fail(atlas.InvalidEnumValue, size).Hinting("%s has no such instance size.", p)
		}
	}
	switch {
	case c.Enabled && c.MaxInstanceSize == "":
		return invalid("Automatic scaling needs a maxInstanceSize.")
	case c.ScaleDownEnabled && c.MinInstanceSize == "":
		return invalid("Automatic scaling down needs a minInstanceSize.")
	case c.ScaleDownEnabled && !c.Enabled:
		return invalid("Automatic scaling must be enabled to scale down.")
	}
	return nil
}
