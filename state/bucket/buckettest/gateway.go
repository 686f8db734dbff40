package buckettest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// GatewayEnv names the environment's variable with the path of versitygw, a real
// S3-compatible server, which is built in state/storetest/versitygw.
const GatewayEnv = "DLS_VERSITYGW"

// Gateway is a running versitygw with an empty bucket.
type Gateway struct {
	// Endpoint is its host and port, Bucket the bucket, CAPEM what its certificate comes
	// from.
	Endpoint, Bucket string
	CAPEM            []byte
}

// AccessKey and SecretKey are the gateway's credentials.
const AccessKey, SecretKey = "not-a-key", "not-a-secret"

// StartGateway starts versitygw with TLS on the loopback for the time of the test. It
// skips the test where none is built.
func StartGateway(t testing.TB) *Gateway {
	t.Helper()
	program := os.Getenv(GatewayEnv)
	if program == "" {
		t.Skip("no versitygw: $" + GatewayEnv + " is not set; .ci/steps/bucket builds it")
	}
	dir := t.TempDir()
	g := &Gateway{Bucket: "logs"}
	cert, key := g.certificate(t, dir)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g.Endpoint = free.Addr().String()
	free.Close()
	root := filepath.Join(dir, "root")
	if err := os.Mkdir(root, 0o700); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "--port", g.Endpoint, "--access", AccessKey, "--secret", SecretKey, "--cert", cert, "--key", key, "--quiet", "--keep-alive", "posix", root)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		log.Close()
	})
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(g.CAPEM)
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig.RootCAs = roots
	defer transport.CloseIdleConnections()
	client, err := minio.New(g.Endpoint, &minio.Options{Creds: credentials.NewStaticV4(AccessKey, SecretKey, ""), Secure: true, Region: "us-east-1", Transport: transport})
	if err == nil {
		err = client.MakeBucket(t.Context(), g.Bucket, minio.MakeBucketOptions{Region: "us-east-1"}) // it tries again until the gateway answers
	}
	if err != nil {
		said, _ := os.ReadFile(log.Name())
		t.Fatalf("start %s: %v\n%s", program, err, said)
	}
	return g
}

// certificate makes the gateway's certificate, and returns its files.
func (g *Gateway) certificate(t testing.TB, dir string) (cert, key string) {
	t.Helper()
	pair, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "versitygw"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &pair.PublicKey, pair)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(pair)
	if err != nil {
		t.Fatal(err)
	}
	g.CAPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, data := range map[string][]byte{cert: g.CAPEM, key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}
