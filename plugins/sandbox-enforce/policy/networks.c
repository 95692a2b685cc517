/* SPDX-License-Identifier: Apache-2.0 */
/* networks.c - the built-in hosts and services. */
#include "plugins/sandbox-enforce/policy/networks.h"

#include <string.h>

#define LIST(...) ((const char *const[]){ __VA_ARGS__, NULL })

const struct network_group network_groups[] = {
    { "llm_apis", "Services of language models",
      LIST("api.openai.com", "api.anthropic.com", "claude.ai", "platform.claude.com",
           "generativelanguage.googleapis.com", "aiplatform.googleapis.com", "api.groq.com",
           "api.mistral.ai", "api.cohere.com", "api.together.xyz", "api.fireworks.ai",
           "api.deepseek.com", "api.perplexity.ai", "inference.cerebras.ai", "openrouter.ai",
           "api.x.ai") },
    { NETWORK_REGISTRIES,
      "Package registries, as the package managers of this machine and host lists name them",
      NULL },
    { "github", "GitHub and its containers",
      LIST("github.com", "api.github.com", "codeload.github.com", "raw.githubusercontent.com",
           "objects.githubusercontent.com", "github-releases.githubusercontent.com", "ghcr.io",
           "pkg-containers.githubusercontent.com") },
    { "gitlab", "GitLab", LIST("gitlab.com", "cloud.gitlab.com", "registry.gitlab.com") },
    { "sigstore", "Signatures of Sigstore",
      LIST("rekor.sigstore.dev", "fulcio.sigstore.dev", "tuf-repo-cdn.sigstore.dev",
           "oauth2.sigstore.dev") },
    { "documentation", "Documentation of languages",
      LIST("docs.python.org", "docs.rs", "doc.rust-lang.org", "developer.mozilla.org", "nodejs.org",
           "go.dev", "pkg.go.dev", "learn.microsoft.com") },
    { "google_cloud", "Google Cloud", LIST("*.googleapis.com") },
    { "azure", "Models on Azure", LIST("*.openai.azure.com", "*.cognitiveservices.azure.com") },
    { "aws_bedrock", "Models on AWS",
      LIST("*.bedrock.amazonaws.com", "*.bedrock-runtime.amazonaws.com") },
};
const size_t network_group_count = sizeof(network_groups) / sizeof(network_groups[0]);

#define DEVELOPER "llm_apis", NETWORK_REGISTRIES, "github", "gitlab", "sigstore", "documentation"

static const struct network_profile profiles[] = {
    { "minimal", "Language models only", LIST("llm_apis") },
    { "developer", "Models, packages, sources, documentation", LIST(DEVELOPER) },
    { "claude-code", "The same, for Claude Code", LIST(DEVELOPER) },
    { "codex", "The same, for Codex", LIST(DEVELOPER) },
    { "opencode", "The same, for OpenCode", LIST(DEVELOPER) },
    { "enterprise", "The same and models on large clouds",
      LIST(DEVELOPER, "google_cloud", "azure", "aws_bedrock") },
};

static const struct policy_route services[] = {
    { .name = "openai",
      .upstream = "https://api.openai.com/v1",
      .key = "openai_api_key",
      .variable = "OPENAI_API_KEY",
      .header = "Authorization",
      .format = "Bearer {}" },
    { .name = "anthropic",
      .upstream = "https://api.anthropic.com",
      .key = "env://ANTHROPIC_API_KEY",
      .variable = "ANTHROPIC_API_KEY",
      .header = "x-api-key",
      .format = "{}" },
    { .name = "gemini",
      .upstream = "https://generativelanguage.googleapis.com",
      .key = "gemini_api_key",
      .variable = "GEMINI_API_KEY",
      .header = "x-goog-api-key",
      .format = "{}" },
    { .name = "google-ai",
      .upstream = "https://generativelanguage.googleapis.com",
      .key = "google_ai_api_key",
      .variable = "GOOGLE_AI_API_KEY",
      .header = "x-goog-api-key",
      .format = "{}" },
    { .name = "github",
      .upstream = "https://api.github.com",
      .key = "env://GITHUB_TOKEN",
      .variable = "GITHUB_TOKEN",
      .header = "Authorization",
      .format = "token {}" },
    { .name = "gitlab",
      .upstream = "https://gitlab.com/api",
      .key = "env://GITLAB_TOKEN",
      .variable = "GITLAB_TOKEN",
      .header = "Authorization",
      .format = "Bearer {}" },
};

const struct network_group *network_group_find(const char *name)
{
    for (size_t i = 0; i < network_group_count; i++)
        if (strcmp(network_groups[i].name, name) == 0)
            return &network_groups[i];
    return NULL;
}

const struct network_profile *network_profile_find(const char *name)
{
    for (size_t i = 0; i < sizeof(profiles) / sizeof(profiles[0]); i++)
        if (strcmp(profiles[i].name, name) == 0)
            return &profiles[i];
    return NULL;
}

const struct policy_route *network_service_find(const char *name)
{
    for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++)
        if (strcmp(services[i].name, name) == 0)
            return &services[i];
    return NULL;
}
