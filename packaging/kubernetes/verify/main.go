// Command verify reads Kubernetes manifests as the API server would, strictly,
// and checks what dls needs of them: that what a pod mounts is there, that it
// may do nothing but its work, and that the configuration is one.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"dls/job/config"
)

func main() {
	flag.Parse()
	failed := false
	for _, path := range flag.Args() {
		data, err := os.ReadFile(path)
		if err == nil {
			err = verify(data)
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "verify: %s: %v\n", path, err)
			failed = true
		}
	}
	if failed || flag.NArg() == 0 {
		os.Exit(1)
	}
}

// manifests are the objects of a file.
type manifests struct {
	configs  map[string]*corev1.ConfigMap
	claims   map[string]*corev1.PersistentVolumeClaim
	cronJobs []*batchv1.CronJob
}

// verify checks one file.
func verify(data []byte) error {
	m, err := decode(data)
	if err != nil {
		return err
	}
	if len(m.cronJobs) == 0 {
		return errors.New("no CronJob")
	}
	var errs []error
	for _, c := range m.configs {
		errs = append(errs, checkConfig(c))
	}
	for _, c := range m.cronJobs {
		errs = append(errs, m.checkCronJob(c))
	}
	return errors.Join(errs...)
}

// decode reads the objects: unknown and repeated fields are errors.
func decode(data []byte) (*manifests, error) {
	m := &manifests{configs: map[string]*corev1.ConfigMap{}, claims: map[string]*corev1.PersistentVolumeClaim{}}
	documents := utilyaml.NewDocumentDecoder(io.NopCloser(bytes.NewReader(data)))
	defer documents.Close()
	buffer := make([]byte, len(data))
	for i := 1; ; i++ {
		n, err := documents.Read(buffer)
		if errors.Is(err, io.EOF) {
			return m, nil
		}
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", i, err)
		}
		document := buffer[:n]
		var kind metav1.TypeMeta
		if err := yaml.Unmarshal(document, &kind); err != nil {
			return nil, fmt.Errorf("document %d: %w", i, err)
		}
		var object metav1.Object
		switch kind.APIVersion + " " + kind.Kind {
		case "v1 ConfigMap":
			object = new(corev1.ConfigMap)
		case "v1 PersistentVolumeClaim":
			object = new(corev1.PersistentVolumeClaim)
		case "batch/v1 CronJob":
			object = new(batchv1.CronJob)
		default:
			return nil, fmt.Errorf("document %d: apiVersion %q, kind %q: not expected here", i, kind.APIVersion, kind.Kind)
		}
		text, err := yaml.YAMLToJSONStrict(document)
		if err != nil {
			return nil, fmt.Errorf("document %d, %s: %w", i, kind.Kind, err)
		}
		strict, err := json.UnmarshalStrict(text, object)
		if err := errors.Join(append(strict, err)...); err != nil {
			return nil, fmt.Errorf("document %d, %s: %w", i, kind.Kind, err)
		}
		switch o := object.(type) {
		case *corev1.ConfigMap:
			m.configs[o.Name] = o
		case *corev1.PersistentVolumeClaim:
			m.claims[o.Name] = o
		case *batchv1.CronJob:
			m.cronJobs = append(m.cronJobs, o)
		}
	}
}

// checkConfig reads the configuration as dls does in the pod.
func checkConfig(c *corev1.ConfigMap) error {
	text, ok := c.Data["config.yml"]
	if !ok {
		return fmt.Errorf("ConfigMap %q has no config.yml", c.Name)
	}
	environment := map[string]string{"DLS_SKEY": "stand-in-of-the-secret"}
	cfg, err := config.Parse("ConfigMap "+c.Name, []byte(text), config.Env{Getenv: func(name string) string { return environment[name] }})
	if err == nil && !cfg.MustExist {
		err = fmt.Errorf("ConfigMap %q: an empty place is taken for a new one: no must_exist", c.Name)
	}
	return err
}

// checkCronJob checks what a job may do, and that what it mounts is there.
func (m *manifests) checkCronJob(c *batchv1.CronJob) error {
	var errs []error
	want := func(ok bool, what string) {
		if !ok {
			errs = append(errs, fmt.Errorf("CronJob %q: %s", c.Name, what))
		}
	}
	job := c.Spec.JobTemplate.Spec
	pod := job.Template.Spec
	want(c.Spec.ConcurrencyPolicy == batchv1.ForbidConcurrent, "two runs may overlap")
	want(c.Spec.SuccessfulJobsHistoryLimit != nil && c.Spec.FailedJobsHistoryLimit != nil, "no history limits")
	want(pod.RestartPolicy == corev1.RestartPolicyNever, "podFailurePolicy needs restartPolicy Never")
	want(pod.AutomountServiceAccountToken != nil && !*pod.AutomountServiceAccountToken, "the pod has a token of the API")
	want(pod.SecurityContext != nil && pod.SecurityContext.RunAsNonRoot != nil && *pod.SecurityContext.RunAsNonRoot, "the pod may be root")
	want(job.PodFailurePolicy != nil && slices.ContainsFunc(job.PodFailurePolicy.Rules, func(r batchv1.PodFailurePolicyRule) bool {
		return r.Action == batchv1.PodFailurePolicyActionIgnore && r.OnExitCodes != nil && slices.Equal(r.OnExitCodes.Values, []int32{75})
	}), "exit code 75 fails the job")
	if job.CompletionMode != nil && *job.CompletionMode == batchv1.IndexedCompletion {
		n := fmt.Sprintf("$(JOB_COMPLETION_INDEX)/%d", *job.Completions)
		want(*job.Parallelism == *job.Completions, "the shares do not run at once")
		want(slices.ContainsFunc(pod.Containers, func(c corev1.Container) bool { return slices.Contains(c.Args, n) }), "--shard is another than "+n)
		want(job.BackoffLimitPerIndex != nil && job.MaxFailedIndexes != nil && *job.MaxFailedIndexes == *job.Completions, "a share that fails ends the others")
	}
	names := map[string]bool{}
	for _, v := range pod.Volumes {
		names[v.Name] = true
		if v.ConfigMap != nil {
			want(m.configs[v.ConfigMap.Name] != nil, fmt.Sprintf("ConfigMap %q is not there", v.ConfigMap.Name))
		}
		if v.PersistentVolumeClaim != nil {
			want(m.claims[v.PersistentVolumeClaim.ClaimName] != nil, fmt.Sprintf("claim %q is not there", v.PersistentVolumeClaim.ClaimName))
		}
		if v.Secret != nil {
			want(v.Secret.DefaultMode != nil && *v.Secret.DefaultMode&0o007 == 0, fmt.Sprintf("secret %q can be read by all", v.Secret.SecretName))
		}
	}
	for _, container := range pod.Containers {
		s := container.SecurityContext
		want(s != nil && s.ReadOnlyRootFilesystem != nil && *s.ReadOnlyRootFilesystem, "the root is not read-only")
		want(s != nil && s.AllowPrivilegeEscalation != nil && !*s.AllowPrivilegeEscalation, "privileges may grow")
		want(s != nil && s.Capabilities != nil && slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}), "capabilities are kept")
		want(!container.Resources.Requests.Memory().IsZero() && !container.Resources.Limits.Memory().IsZero(), "memory has no request or no limit")
		for _, mount := range container.VolumeMounts {
			want(names[mount.Name], fmt.Sprintf("volume %q is not there", mount.Name))
		}
		for _, variable := range container.Env {
			want(variable.Name != "DLS_SKEY" || variable.Value == "", "the secret is in the manifest")
		}
	}
	return errors.Join(errs...)
}
