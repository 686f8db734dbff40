package job

import (
	"context"
	"fmt"

	"dls/job/config"
	"dls/state"
	"dls/state/bucket"
	"dls/state/safefile"
)

// OpenStore opens the store that the configuration names, a directory or a bucket. ctx
// bounds what a bucket does; warn is told what the user should know of it.
func OpenStore(ctx context.Context, cfg *config.Config, version string, warn func(msg string)) (state.Store, error) {
	b := cfg.Bucket
	if b == nil {
		dir, err := state.Open(cfg.Directory)
		if err != nil {
			return nil, err // a nil *state.Dir would not be a nil Store
		}
		return dir, nil
	}
	o := bucket.Options{
		Bucket: b.Name, Prefix: b.Prefix, Region: b.Region, Endpoint: b.Endpoint, Plaintext: b.Plaintext,
		Version: version, Warn: warn,
	}
	if b.CAFile != "" {
		var err error
		if o.CAPEM, _, err = safefile.Read(b.CAFile, safefile.MaxPEM); err != nil {
			return nil, fmt.Errorf("dls_settings.checkpointing.ca_filepath: %w", err)
		}
	}
	s, err := bucket.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	return s, nil
}
