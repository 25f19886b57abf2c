// SPDX-License-Identifier: Apache-2.0

// The Go client of OpenBao against a live server, as programs of others use it: one line a case, exit 1 when one failed.
// The address and the root token come from BAO_ADDR and BAO_TOKEN.
package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"

	"github.com/openbao/openbao/api/v2"
)

var failed bool

func check(name string, holds bool, why any) bool {
	if holds {
		fmt.Printf("passed %s\n", name)
		return true
	}
	failed = true
	fmt.Printf("failed %s: %v\n", name, why)
	return false
}

func text(secret *api.Secret, key string) string {
	if secret == nil {
		return ""
	}
	value, _ := secret.Data[key].(string)
	return value
}

func clone(client *api.Client, token string) *api.Client {
	other, err := client.Clone()
	if err != nil {
		panic(err)
	}
	other.SetToken(token)
	return other
}

func sys(client *api.Client) {
	health, err := client.Sys().Health()
	check("sys health", err == nil && health.Initialized && !health.Sealed, err)
	seal, err := client.Sys().SealStatus()
	check("sys seal-status", err == nil && !seal.Sealed, err)
	err = client.Sys().Mount("kv1", &api.MountInput{Type: "kv", Description: "first", Options: map[string]string{"version": "1"}})
	check("sys mount", err == nil, err)
	err = client.Sys().TuneMount("kv1", api.MountConfigInput{DefaultLeaseTTL: "2h"})
	check("sys tune", err == nil, err)
	mounts, err := client.Sys().ListMounts()
	check("sys mounts", err == nil && mounts["kv1/"] != nil && mounts["kv1/"].Type == "kv" && mounts["kv1/"].Description == "first", err)
	config, err := client.Sys().MountConfig("kv1")
	check("sys mount config", err == nil && config.DefaultLeaseTTL == 7200, err)
	err = client.Sys().PutPolicy("gopher", `path "secret/data/*" { capabilities = ["read"] }`)
	check("sys policy write", err == nil, err)
	policy, err := client.Sys().GetPolicy("gopher")
	check("sys policy read", err == nil && policy != "", err)
	names, err := client.Sys().ListPolicies()
	check("sys policies", err == nil && len(names) >= 3, names)
	can, err := client.Sys().CapabilitiesSelf("secret/data/x")
	check("sys capabilities-self", err == nil && len(can) == 1 && can[0] == "root", can)
	err = client.Sys().Unmount("kv1")
	check("sys unmount", err == nil, err)
	err = client.Sys().Mount("transit", &api.MountInput{Type: "transit"})
	check("sys mount transit", err == nil, err)
}

func kv(client *api.Client) {
	ctx := context.Background()
	store := client.KVv2("secret")
	put, err := store.Put(ctx, "go", map[string]any{"a": "b", "n": 1})
	check("kv put", err == nil && put.VersionMetadata.Version == 1, err)
	got, err := store.Get(ctx, "go")
	check("kv get", err == nil && got.Data["a"] == "b", err)
	_, err = store.Put(ctx, "go", map[string]any{"a": "c"}, api.WithCheckAndSet(0))
	check("kv check-and-set is refused", err != nil, "no error")
	_, err = store.Patch(ctx, "go", map[string]any{"x": "y"})
	check("kv patch", err == nil, err)
	got, err = store.Get(ctx, "go")
	check("kv patched", err == nil && got.Data["a"] == "b" && got.Data["x"] == "y", err)
	versions, err := store.GetVersionsAsList(ctx, "go")
	check("kv versions", err == nil && len(versions) == 2, err)
	_, err = store.Rollback(ctx, "go", 1)
	check("kv rollback", err == nil, err)
	err = store.Delete(ctx, "go")
	check("kv delete", err == nil, err)
	got, err = store.Get(ctx, "go")
	check("kv deleted", err == nil && got.Data == nil && !got.VersionMetadata.DeletionTime.IsZero(), err)
	err = store.Undelete(ctx, "go", []int{3})
	check("kv undelete", err == nil, err)
	err = store.PutMetadata(ctx, "go", api.KVMetadataPutInput{MaxVersions: 5, CustomMetadata: map[string]any{"who": "gopher"}})
	check("kv metadata write", err == nil, err)
	meta, err := store.GetMetadata(ctx, "go")
	check("kv metadata", err == nil && meta.MaxVersions == 5 && meta.CustomMetadata["who"] == "gopher" && len(meta.Versions) == 3, err)
	list, err := client.Logical().List("secret/metadata")
	check("kv list", err == nil && list != nil && len(list.Data["keys"].([]any)) == 1, err)
	err = store.DeleteMetadata(ctx, "go")
	check("kv metadata delete", err == nil, err)
	_, err = store.Get(ctx, "go")
	check("kv gone", err != nil, "no error")
	_, err = store.Put(ctx, "app", map[string]any{"a": "b"})
	check("kv put for others", err == nil, err)
}

func transit(client *api.Client) {
	_, err := client.Logical().Write("transit/keys/go", map[string]any{"type": "aes256-gcm96"})
	check("transit key", err == nil, err)
	plain := base64.StdEncoding.EncodeToString([]byte("hello"))
	boxed, err := client.Logical().Write("transit/encrypt/go", map[string]any{"plaintext": plain})
	check("transit encrypt", err == nil && text(boxed, "ciphertext") != "", err)
	_, err = client.Logical().Write("transit/keys/go/rotate", nil)
	check("transit rotate", err == nil, err)
	opened, err := client.Logical().Write("transit/decrypt/go", map[string]any{"ciphertext": text(boxed, "ciphertext")})
	check("transit decrypt", err == nil && text(opened, "plaintext") == plain, err)
	_, err = client.Logical().Write("transit/keys/sig", map[string]any{"type": "ed25519"})
	check("transit signing key", err == nil, err)
	signed, err := client.Logical().Write("transit/sign/sig", map[string]any{"input": plain})
	check("transit sign", err == nil, err)
	verified, err := client.Logical().Write("transit/verify/sig", map[string]any{"input": plain, "signature": text(signed, "signature")})
	check("transit verify", err == nil && verified.Data["valid"] == true, err)
}

func token(client *api.Client) {
	self, err := client.Auth().Token().LookupSelf()
	check("token lookup-self", err == nil && text(self, "id") == client.Token(), err)
	made, err := client.Auth().Token().Create(&api.TokenCreateRequest{Policies: []string{"gopher"}, TTL: "1h", DisplayName: "go"})
	if !check("token create", err == nil && made.Auth != nil, err) {
		return
	}
	child := clone(client, made.Auth.ClientToken)
	renewed, err := child.Auth().Token().RenewSelf(1800)
	check("token renew-self", err == nil && renewed.Auth.LeaseDuration == 1800, err)
	_, err = child.KVv2("secret").Get(context.Background(), "app")
	check("token reads what its policy allows", err == nil, err)
	_, err = child.KVv2("secret").Put(context.Background(), "app", map[string]any{"a": "c"})
	refused, is := err.(*api.ResponseError)
	if err != nil && !is {
		is = err.Error() != ""
	}
	check("token writes nothing", is && (refused == nil || refused.StatusCode == 403), err)
	watcher, err := child.NewLifetimeWatcher(&api.LifetimeWatcherInput{Secret: made})
	check("token lifetime watcher", err == nil, err)
	if err == nil {
		go watcher.Start()
		select {
		case out := <-watcher.RenewCh():
			check("token renewed by the watcher", out.Secret != nil, out)
		case err := <-watcher.DoneCh():
			check("token renewed by the watcher", false, err)
		}
		watcher.Stop()
	}
	err = client.Auth().Token().RevokeAccessor(made.Auth.Accessor)
	check("token revoke by accessor", err == nil, err)
	_, err = child.Auth().Token().LookupSelf()
	check("token is gone", err != nil, "no error")
}

func wrapping(client *api.Client) {
	asking := clone(client, client.Token())
	asking.SetWrappingLookupFunc(func(string, string) string { return "60s" })
	wrapped, err := asking.Logical().Read("secret/data/app")
	if !check("wrap", err == nil && wrapped.WrapInfo != nil && wrapped.WrapInfo.TTL == 60, err) {
		return
	}
	looked, err := client.Logical().Write("sys/wrapping/lookup", map[string]any{"token": wrapped.WrapInfo.Token})
	check("wrap lookup", err == nil && text(looked, "creation_path") == "secret/data/app", err)
	opened, err := client.Logical().Unwrap(wrapped.WrapInfo.Token)
	check("unwrap", err == nil && opened.Data["data"] != nil, err)
	_, err = client.Logical().Unwrap(wrapped.WrapInfo.Token)
	check("unwrap once only", err != nil, "no error")
}

func logins(client *api.Client) {
	err := client.Sys().EnableAuthWithOptions("userpass", &api.EnableAuthOptions{Type: "userpass"})
	check("auth enable userpass", err == nil, err)
	_, err = client.Logical().Write("auth/userpass/users/gopher", map[string]any{"password": "burrow", "token_policies": "gopher"})
	check("userpass user", err == nil, err)
	nobody := clone(client, "")
	secret, err := nobody.Logical().Write("auth/userpass/login/gopher", map[string]any{"password": "burrow"})
	check("userpass login", err == nil && secret.Auth != nil && len(secret.Auth.Policies) == 2, err)
	_, err = nobody.Logical().Write("auth/userpass/login/gopher", map[string]any{"password": "hole"})
	check("userpass wrong password", err != nil, "no error")
	err = client.Sys().EnableAuthWithOptions("approle", &api.EnableAuthOptions{Type: "approle"})
	check("auth enable approle", err == nil, err)
	_, err = client.Logical().Write("auth/approle/role/go", map[string]any{"token_policies": "gopher", "token_ttl": "20m"})
	check("approle role", err == nil, err)
	role, err := client.Logical().Read("auth/approle/role/go/role-id")
	check("approle role-id", err == nil && text(role, "role_id") != "", err)
	id, err := client.Logical().Write("auth/approle/role/go/secret-id", nil)
	check("approle secret-id", err == nil && text(id, "secret_id") != "", err)
	secret, err = nobody.Logical().Write("auth/approle/login", map[string]any{"role_id": text(role, "role_id"), "secret_id": text(id, "secret_id")})
	check("approle login", err == nil && secret.Auth != nil && secret.Auth.LeaseDuration == 1200, err)
	methods, err := client.Sys().ListAuth()
	check("auth methods", err == nil && methods["userpass/"] != nil && methods["approle/"] != nil, err)
	err = client.Sys().DisableAuth("userpass")
	check("auth disable", err == nil, err)
}

func main() {
	client, err := api.NewClient(api.DefaultConfig())
	if err != nil {
		fmt.Println("failed client:", err)
		os.Exit(1)
	}
	sys(client)
	kv(client)
	transit(client)
	token(client)
	wrapping(client)
	logins(client)
	if failed {
		os.Exit(1)
	}
}
